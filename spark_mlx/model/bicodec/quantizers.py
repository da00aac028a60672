"""The two quantisers of BiCodec.

`SemanticQuantizer` looks codes up in a learnt codebook (what is said); `FSQ` rounds each dimension
to a few levels (who says it).

Sources: `sparktts.modules.vq.factorized_vector_quantize`, `sparktts.modules.fsq`; Mentzer et al.,
"Finite Scalar Quantization" (2023), appendix A.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from spark_mlx.model.config import Config


@dataclasses.dataclass(frozen=True)
class QuantizerConfig(Config):
    input_dim: int
    codebook_size: int
    codebook_dim: int


def projection(dim_in: int, dim_out: int) -> nn.Module:
    """A linear layer; upstream leaves it out where nothing changes width."""
    return nn.Identity() if dim_in == dim_out else nn.Linear(dim_in, dim_out)


def _unit(x: mx.array) -> mx.array:
    """x scaled to length one along its last axis."""
    return x / mx.maximum(mx.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


class SemanticQuantizer(nn.Module):
    """Codes of one codebook, compared by angle."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.codebook = nn.Embedding(config.codebook_size, config.codebook_dim)
        self.out_project = projection(config.codebook_dim, config.input_dim)

    def encode(self, z_e: mx.array) -> mx.array:
        """Latents (B, T, codebook_dim) → the nearest code of each (B, T), int32."""
        similarity = _unit(z_e) @ _unit(self.codebook.weight).T
        return mx.argmax(similarity, axis=-1).astype(mx.int32)

    def decode(self, tokens: mx.array) -> mx.array:
        """Codes (B, T) → (B, T, input_dim)."""
        return self.out_project(self.codebook(tokens))


class FSQ(nn.Module):
    """Finite scalar quantisation between two projections: (B, N, dim) ↔ codes (B, N)."""

    def __init__(self, dim: int, levels: Sequence[int]) -> None:
        super().__init__()
        self.project_in = projection(dim, len(levels))
        self.project_out = projection(len(levels), dim)
        counts = np.array(levels, dtype=np.int32)
        half = (counts - 1) * (1 + 1e-3) / 2
        # An even number of levels has none in the middle: shift by half a step, so that rounding
        # gives as many levels below zero as above.
        offset = np.where(counts % 2 == 0, 0.5, 0.0)
        self._levels = mx.array(counts)
        self._middle = mx.array(counts // 2)
        self._basis = mx.array(np.cumprod([1, *levels[:-1]], dtype=np.int32))
        self._half = mx.array(half.astype(np.float32))
        self._offset = mx.array(offset.astype(np.float32))
        self._shift = mx.array(np.arctanh(offset / half).astype(np.float32))

    def encode(self, x: mx.array) -> mx.array:
        """(B, N, dim) → codes (B, N), int32."""
        z = self.project_in(x)
        bounded = mx.tanh(z + self._shift) * self._half - self._offset
        level = mx.round(bounded).astype(mx.int32) + self._middle
        return (level * self._basis).sum(axis=-1)

    def decode(self, tokens: mx.array) -> mx.array:
        """Codes (B, N) → (B, N, dim)."""
        level = (tokens[..., None] // self._basis) % self._levels
        return self.project_out((level - self._middle) / self._middle)
