"""A request to speak: an utterance → the prompt, the stage and the random key of its answer.

It holds what saying a text whole and streaming it have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mlx.core as mx

from spark_mlx.codec import Codec
from spark_mlx.generation import checks
from spark_mlx.generation.checks import ATTEMPTS
from spark_mlx.generation.compute_stream import ComputeStream
from spark_mlx.generation.generate import Stage
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.prefetch import Prefetched
from spark_mlx.generation.sampling import Sampling
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.text import halves
from spark_mlx.voice import Voice

MAX_CUTS = 2  # how often a piece is halved, to be spoken in parts


@dataclass(frozen=True)
class Utterance:
    """Words that are spoken in one answer: a piece of a text, or a part of one.

    Attributes:
        text: the words.
        index: the number of the piece.
        tries: attempts at the whole piece, before it was spoken in parts.
    """

    text: str
    index: int
    tries: int = 0

    def parts(self) -> list[Utterance]:
        """Cut the words in two, to be spoken one after the other; [] if they cannot be, or were
        cut often enough."""
        halved = halves(self.text) if self.tries < MAX_CUTS * ATTEMPTS else []
        tries = self.tries + ATTEMPTS
        return [Utterance(part, self.index, tries) for part in halved if len(halved) > 1]


@dataclass(frozen=True)
class SpeechRequest:
    """A model, a voice, and how ids are drawn.

    Attributes:
        tokens_per_second: semantic tokens to a second of speech.
        seed: another seed, another reading.
        computing: entered for each step of the language model.
        prefetch: makes ids while earlier ones are decoded, where that gains time.
    """

    lm: LanguageModel
    codec: Codec
    vocabulary: Vocabulary
    sample_rate: int
    tokens_per_second: float
    voice: Voice
    sampling: Sampling
    seed: int
    computing: ComputeStream
    prefetch: Callable[[Callable[[], Iterator[int]]], Prefetched[int]]

    def prompt(self, words: Utterance) -> list[int]:
        """Return the ids that ask for an utterance in the voice."""
        return self.vocabulary.prompt(words.text, self.voice)

    def stage(self, words: Utterance) -> Stage:
        """Return the part of an answer in which an utterance is spoken.

        The answer cannot end before there is time for every word.
        """
        text, rate = words.text, self.tokens_per_second
        return Stage(
            self.vocabulary.semantic.all(),
            checks.max_tokens(text, rate),
            end=self.vocabulary.end,
            at_least=checks.min_tokens(text, rate),
        )

    def key(self, words: Utterance, attempt: int) -> mx.array:
        """Return the key of an attempt at an utterance.

        It depends on nothing else, so that a piece sounds the same in any batch.
        """
        return random_key(self.seed + words.tries + attempt, words.index)


def random_key(seed: int, index: int = 0) -> mx.array:
    """Make a random key; a seed may be any whole number."""
    return mx.random.key(((seed << 20) + index) % 2**64)
