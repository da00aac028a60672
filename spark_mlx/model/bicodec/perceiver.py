"""A perceiver resampler: features of any length (B, T, C) → a fixed number of them (B, N, dim).

Source: `sparktts.modules.speaker.perceiver_encoder`; Jaegle et al., "Perceiver" (2021).
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.bicodec.quantizers import projection


class CrossAttention(nn.Module):
    """The latents look at themselves and at the context."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, dim, bias=False)
        self._heads = heads
        self._scale = head_dim**-0.5

    def __call__(self, latents: mx.array, context: mx.array) -> mx.array:
        def split_heads(x: mx.array) -> mx.array:
            return x.reshape(*x.shape[:2], self._heads, -1).transpose(0, 2, 1, 3)

        seen = mx.concatenate([latents, context], axis=1)
        keys, values = mx.split(self.to_kv(seen), 2, axis=-1)
        out = mx.fast.scaled_dot_product_attention(
            split_heads(self.to_q(latents)),
            split_heads(keys),
            split_heads(values),
            scale=self._scale,
        )
        return self.to_out(out.transpose(0, 2, 1, 3).reshape(*latents.shape[:2], -1))


class GEGLU(nn.Module):
    def __call__(self, x: mx.array) -> mx.array:
        x, gate = mx.split(x, 2, axis=-1)
        return nn.gelu(gate) * x


class RMSNorm(nn.Module):
    """Scales to unit root mean square, without an epsilon inside the root."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = mx.ones((dim,))

    def __call__(self, x: mx.array) -> mx.array:
        return mx.fast.rms_norm(x, self.gamma, 1e-20)


class PerceiverResampler(nn.Module):
    def __init__(
        self,
        dim: int,
        context_dim: int,
        num_latents: int,
        depth: int,
        heads: int,
        head_dim: int,
        ff_mult: int,
    ) -> None:
        super().__init__()
        inner = int(dim * ff_mult * 2 / 3)
        self.proj_context = projection(context_dim, dim)
        self.latents = 0.02 * mx.random.normal((num_latents, dim))
        self.layers: list[Any] = [
            [
                CrossAttention(dim, heads, head_dim),
                [nn.Linear(dim, 2 * inner), GEGLU(), nn.Linear(inner, dim)],
            ]
            for _ in range(depth)
        ]
        self.norm = RMSNorm(dim)

    def __call__(self, context: mx.array) -> mx.array:
        context = self.proj_context(context)
        x = mx.broadcast_to(self.latents, (context.shape[0], *self.latents.shape))
        for attention, feed_forward in self.layers:
            x = x + attention(x, context)
            y = x
            for layer in feed_forward:
                y = layer(y)
            x = x + y
        return self.norm(x)
