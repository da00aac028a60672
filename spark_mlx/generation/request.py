"""A request to speak: a piece of text → the prompt, the stage and the random key of its answer.

It holds what saying a text whole and streaming it have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

from spark_mlx.codec import Codec
from spark_mlx.generation import checks
from spark_mlx.generation.generate import Stage
from spark_mlx.generation.sampling import Sampling
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.model.qwen2 import Qwen2
from spark_mlx.voice import Voice


@dataclass(frozen=True)
class SpeechRequest:
    """A model, a voice, and how ids are drawn.

    Attributes:
        tokens_per_second: semantic tokens to a second of speech.
        seed: another seed, another reading.
    """

    lm: Qwen2
    codec: Codec
    vocabulary: Vocabulary
    sample_rate: int
    tokens_per_second: float
    voice: Voice
    sampling: Sampling
    seed: int

    def prompt(self, text: str) -> list[int]:
        """Return the ids that ask for a piece of text in the voice."""
        return self.vocabulary.prompt(text, self.voice)

    def stage(self, text: str) -> Stage:
        """Return the part of an answer in which a piece of text is spoken."""
        return Stage(
            self.vocabulary.semantic.all(),
            checks.max_tokens(text, self.tokens_per_second),
            end=self.vocabulary.end,
            at_least=checks.MIN_TOKENS,
        )

    def key(self, index: int, attempt: int) -> mx.array:
        """Return the key of an attempt at the piece `index` of a text.

        It depends on nothing else, so that a piece sounds the same in any batch.
        """
        return random_key(self.seed + attempt, index)


def random_key(seed: int, index: int = 0) -> mx.array:
    """Make a random key; a seed may be any whole number."""
    return mx.random.key(((seed << 20) + index) % 2**64)
