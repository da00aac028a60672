"""Create a voice from labels: gender, pitch, speed → exact values and global tokens.

The model imagines a speaker while it is asked for a sentence. Source: the authors' data script.
"""

from __future__ import annotations

from typing import cast

import mlx.core as mx

from spark_mlx.generation.generate import Stage, generate
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.sampling import Sampling
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.voice import Attributes

# Never spoken: it only gives the model something to imagine the voice with.
CREATION_TEXT = "The sun rises over the quiet hills, and a new day begins."


def create(
    lm: LanguageModel,
    vocabulary: Vocabulary,
    token_num: int,
    labels: tuple[str, str, str],
    pitch_value: int | None,
    speed_value: int | None,
    sampling: Sampling,
    key: mx.array,
) -> tuple[Attributes, list[int]]:
    """Draw a voice.

    Args:
        token_num: global tokens of a voice.
        labels: gender, pitch and speed; see `labels`.
        pitch_value, speed_value: exact values; the model chooses where they are None.

    Returns:
        The attributes with the values that were used, and the global tokens.

    Raises:
        ConfigError: a label or value is not one the model knows.
    """
    gender, pitch, speed = labels
    prompt = vocabulary.create_prompt(CREATION_TEXT, gender, pitch, speed)
    ranges = (vocabulary.pitch_value, vocabulary.speed_value)
    values = [pitch_value, speed_value]
    stages: list[Stage] = []
    forced = [vocabulary.start_acoustic]
    for value, codes in zip(values, ranges, strict=True):
        if value is None:
            stages.append(Stage(codes.all(), 1, tuple(forced)))
            forced = []
        else:
            forced.append(codes.id(value))
    forced += [vocabulary.end_acoustic, vocabulary.start_global]
    stages.append(Stage(vocabulary.global_.all(), token_num, tuple(forced)))
    ids = iter(list(generate(lm, prompt, stages, sampling, key)))
    for i, codes in enumerate(ranges):
        if values[i] is None:
            (values[i],) = codes.codes([next(ids)])
    pitch_value, speed_value = cast(list[int], values)
    attributes = Attributes(
        gender=gender, pitch=pitch, speed=speed, pitch_value=pitch_value, speed_value=speed_value
    )
    return attributes, vocabulary.global_.codes(list(ids))
