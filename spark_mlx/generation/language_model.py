"""The interface that generation needs of a language model, whatever computes it.

`PlainLM` satisfies it with MLX alone; a backend may bring another model that does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import mlx.core as mx

from spark_mlx.generation.sampling import Draws, Sampling

# Keys and values of one stream, as the model that made it keeps them.
Cache = Any


class Head(Protocol):
    """The output layer cut to some candidates, and their rows of the embedding.

    While speech is generated, nothing but semantic tokens and the end can come next, so the other
    rows of the output layer, most of its weights, need not be read.
    """

    def __call__(self, hidden: mx.array) -> mx.array:
        """Logits of the candidates: hidden (B, hidden_size) → (B, N)."""
        ...

    def draw(
        self, logits: mx.array, sampling: Sampling, draws: Sequence[Draws], step: int
    ) -> tuple[mx.array, mx.array]:
        """Draw the next id of each stream, (B,), and embed it, (B, 1, hidden_size).

        Args:
            logits: (B, up to N).
            draws: one for each stream, of which draw number `step` is made.
        """
        ...

    def embed(self, drawn: mx.array) -> mx.array:
        """Embed candidates by their place: (B,) → (B, 1, hidden_size)."""
        ...


class Batch(Protocol):
    """Several streams that advance together, one token each a step."""

    def logits(self, x: mx.array, head: Head) -> mx.array:
        """Logits of the token after x: embedded ids (B, 1, hidden_size) → (B, N)."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all streams but `rows`."""
        ...


class LanguageModel(Protocol):
    @property
    def dtype(self) -> str:
        """The type of the activations: "float32" or "bfloat16"."""
        ...

    @property
    def computes_in(self) -> str:
        """The precision of the weights and, where it matters, what multiplies them."""
        ...

    def __call__(self, ids: mx.array, cache: Cache = None) -> mx.array:
        """Logits over the whole vocabulary: ids (B, T) → (B, T, vocab_size)."""
        ...

    def make_cache(self, start: int = 0) -> Cache:
        """An empty cache; `start` is the position of the stream's first token."""
        ...

    def embed(self, ids: mx.array) -> mx.array:
        """ids (B, T) → (B, T, hidden_size)."""
        ...

    def head(self, candidates: tuple[int, ...]) -> Head:
        """The output layer cut to the rows of `candidates`, kept for the next call."""
        ...

    def logits(self, x: mx.array, cache: Cache, head: Head) -> mx.array:
        """Logits of the token after x: embedded ids (1, T, hidden_size) → (1, N)."""
        ...

    def batch(self, caches: Sequence[Cache]) -> Batch:
        """Streams whose caches end at the same position, to advance together."""
        ...
