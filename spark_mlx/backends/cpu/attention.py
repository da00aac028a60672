"""Attention and rotary positions on a CPU."""

from __future__ import annotations

from functools import lru_cache

import mlx.core as mx
import numpy as np

from spark_mlx.backends.cpu import functions, gradients
from spark_mlx.backends.cpu.fit import FromPlain
from spark_mlx.backends.cpu.functions import is_native
from spark_mlx.model.layers import Mask, RotaryEmbedding, ScaledDotProductAttention


class CPUAttention(FromPlain, ScaledDotProductAttention):
    """Products by the BLAS, and a native softmax between them; for masks that are arrays, MLX."""

    def __call__(
        self, queries: mx.array, keys: mx.array, values: mx.array, mask: Mask = None
    ) -> mx.array:
        if isinstance(mask, mx.array) or not is_native(queries, keys, values):
            return super().__call__(queries, keys, values, mask)
        batch, heads, length, _ = queries.shape
        shared = keys.shape[1]
        causal = mask == "causal"
        # Heads that share their keys are one batch of products.
        grouped = (queries * self.scale).reshape(batch, shared, heads // shared * length, -1)
        scores = (grouped @ keys.swapaxes(2, 3)).reshape(batch, heads, length, -1)
        if self.training:
            weights = gradients.softmax(scores, causal)
        else:
            weights = functions.softmax(scores, length if causal else 0)
        weights = weights.reshape(batch, shared, heads // shared * length, -1)
        return (weights @ values).reshape(batch, heads, length, -1)


class RotaryTables(FromPlain, RotaryEmbedding):
    """The cosines and sines of a step are computed once for all layers.

    MLX's fused operation computes them anew for each array, and its sines are slow on a CPU.
    """

    def __call__(self, x: mx.array, position: int) -> mx.array:
        cos, sin = _tables(self.head_dim, self.base, position, x.shape[2])
        cos, sin = cos.astype(x.dtype), sin.astype(x.dtype)
        first, second = mx.split(x, 2, axis=-1)
        return mx.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


@lru_cache(maxsize=4)
def _tables(head_dim: int, base: float, position: int, length: int) -> tuple[mx.array, mx.array]:
    """Cosines and sines of `length` positions from one on: (T, head_dim / 2) each."""
    positions = np.arange(position, position + length, dtype=np.float32)
    angles = positions[:, None] * frequencies(head_dim, base)
    return mx.array(np.cos(angles)), mx.array(np.sin(angles))


def frequencies(head_dim: int, base: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The angle by which each pair of channels turns from one position to the next."""
    pairs = np.arange(0, head_dim, 2, dtype=np.float32) / head_dim
    return (1.0 / np.float32(base) ** pairs).astype(np.float32)
