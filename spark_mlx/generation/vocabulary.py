"""Text and codes → ids, and back: the one file that knows the vocabulary.

The vocabulary is Qwen2.5's with added tokens: a token for each code of the codec, for each style
label and value, and for the frame of a prompt. Their ids are read from the tokenizer by name; from
then on a code is an id minus the first id of its range.

Sources: `cli/SparkTTS.py` and `sparktts/utils/token_parser.py` of the official code; the answer of
voice creation from its authors' data script.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from spark_mlx.checkpoints.model_files import TOKENIZER_FILE
from spark_mlx.errors import ConfigError, ModelError
from spark_mlx.generation.labels import GENDERS, LEVELS
from spark_mlx.voice import Attributes, Voice

# Exact values the model was trained on: the mean pitch in mels and the syllables a second.
PITCH_VALUES = 1001
SPEED_VALUES = 11


@dataclasses.dataclass(frozen=True)
class Range:
    """A run of ids that stand for the codes 0, 1, 2, …"""

    name: str
    first: int
    size: int

    def id(self, code: int) -> int:
        if not 0 <= code < self.size:
            raise ConfigError(f"{self.name} is between 0 and {self.size - 1}, not {code}")
        return self.first + code

    def ids(self, codes: Sequence[int]) -> list[int]:
        return [self.id(code) for code in codes]

    def codes(self, ids: Sequence[int]) -> list[int]:
        """The codes of ids of this range."""
        return [id_ - self.first for id_ in ids]

    def all(self) -> range:
        return range(self.first, self.first + self.size)


class Vocabulary:
    """The ids of one model.

    Args:
        tokenizer_json: the text of the model's tokenizer.json.
        global_codes: how many global tokens the codec tells apart.
        semantic_codes: how many semantic tokens.

    Raises:
        ModelError: a token that speech needs is missing, or a range of codes has gaps.
    """

    def __init__(self, tokenizer_json: str, global_codes: int, semantic_codes: int) -> None:
        try:
            definition: dict[str, Any] = json.loads(tokenizer_json)
            self._added = {t["content"]: t["id"] for t in definition.pop("added_tokens")}
            # Without its added tokens the tokenizer cannot read one out of a user's text.
            self._text = Tokenizer.from_str(json.dumps({**definition, "added_tokens": []}))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ModelError(f"the tokenizer is damaged ({error}); convert again") from error
        self.semantic = self._range("bicodec_semantic", semantic_codes)
        self.global_ = self._range("bicodec_global", global_codes)
        self.pitch_value = self._range("pitch_value", PITCH_VALUES)
        self.speed_value = self._range("speed_value", SPEED_VALUES)
        self.gender = self._range("gender", len(GENDERS))
        self.pitch_label = self._range("pitch_label", len(LEVELS))
        self.speed_label = self._range("speed_label", len(LEVELS))
        self.end = self._id("<|im_end|>")
        self.start_acoustic = self._id("<|start_acoustic_token|>")
        self.end_acoustic = self._id("<|end_acoustic_token|>")
        self.start_global = self._id("<|start_global_token|>")
        self.end_global = self._id("<|end_global_token|>")
        self.start_semantic = self._id("<|start_semantic_token|>")
        self._start_content = self._id("<|start_content|>")
        self._end_content = self._id("<|end_content|>")
        self._start_style = self._id("<|start_style_label|>")
        self._end_style = self._id("<|end_style_label|>")
        self._task_clone = self._id("<|task_tts|>")
        self._task_create = self._id("<|task_controllable_tts|>")

    @classmethod
    def load(cls, folder: Path, global_codes: int, semantic_codes: int) -> Vocabulary:
        """Reads the tokenizer of a model folder."""
        path = folder / TOKENIZER_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ModelError(f"{path} is missing; convert the model again") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} is damaged ({error}); convert the model again") from error
        return cls(text, global_codes, semantic_codes)

    def encode(self, text: str) -> list[int]:
        """The ids of a cleaned text; whatever looks like a control token in it stays text."""
        return list(self._text.encode(text, add_special_tokens=False).ids)

    def prompt(self, text: str, voice: Voice) -> list[int]:
        """Return the ids that ask for `text` in a voice, up to where semantic tokens follow."""
        tokens = voice.global_tokens.tolist()
        if voice.attributes is not None:
            return self.created_prompt(text, voice.attributes, tokens)
        if voice.transcript is None or voice.semantic_tokens is None:
            return self.clone_prompt(text, tokens)
        return self.clone_prompt(text, tokens, voice.transcript, voice.semantic_tokens.tolist())

    def clone_prompt(
        self,
        text: str,
        global_tokens: Sequence[int],
        transcript: str | None = None,
        semantic_tokens: Sequence[int] = (),
    ) -> list[int]:
        """The prompt that speaks `text` in a cloned voice, up to where semantic tokens follow.

        With a transcript of the reference clip, the clip's semantic tokens open the answer and the
        transcript goes before the text, joined to it without a space as upstream does.
        """
        return [
            self._task_clone,
            *self._content((transcript or "") + text),
            *self._voice(global_tokens),
            self.start_semantic,
            *(self.semantic.ids(semantic_tokens) if transcript is not None else ()),
        ]

    def create_prompt(self, text: str, gender: str, pitch: str, speed: str) -> list[int]:
        """The prompt that asks for a new voice; the answer begins with its acoustic values.

        Raises:
            ConfigError: a label is not one of those in `spark_mlx.labels`.
        """
        return [
            self._task_create,
            *self._content(text),
            self._start_style,
            self.gender.id(_index("gender", gender, GENDERS)),
            self.pitch_label.id(_index("pitch", pitch, LEVELS)),
            self.speed_label.id(_index("speed", speed, LEVELS)),
            self._end_style,
        ]

    def created_prompt(
        self, text: str, attributes: Attributes, global_tokens: Sequence[int]
    ) -> list[int]:
        """The prompt that speaks `text` in a created voice, up to where semantic tokens follow.

        It is the creation's own prompt with the values and the voice already answered, so every
        sentence keeps the pitch, the speed and the speaker of the first.
        """
        return [
            *self.create_prompt(text, attributes.gender, attributes.pitch, attributes.speed),
            self.start_acoustic,
            self.pitch_value.id(attributes.pitch_value),
            self.speed_value.id(attributes.speed_value),
            self.end_acoustic,
            *self._voice(global_tokens),
            self.start_semantic,
        ]

    def _content(self, text: str) -> list[int]:
        return [self._start_content, *self.encode(text), self._end_content]

    def _voice(self, global_tokens: Sequence[int]) -> list[int]:
        return [self.start_global, *self.global_.ids(global_tokens), self.end_global]

    def _id(self, token: str) -> int:
        try:
            return int(self._added[token])
        except KeyError:
            raise ModelError(f"the tokenizer has no {token}: it is not a Spark-TTS one") from None

    def _range(self, name: str, size: int) -> Range:
        first = self._id(f"<|{name}_0|>")
        for code in range(size):
            if self._id(f"<|{name}_{code}|>") != first + code:
                raise ModelError(f"the tokenizer's {name} ids have a gap before {code}")
        return Range(name, first, size)


def _index(what: str, label: str, known: tuple[str, ...]) -> int:
    if label not in known:
        raise ConfigError(f"{what} is one of {', '.join(known)}, not {label!r}")
    return known.index(label)
