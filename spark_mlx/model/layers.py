"""The leaves that BiCodec, wav2vec2 and Qwen2 share; sequences are (batch, time, channels).

Each is a module of its own, so that a backend can put another in its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn

# The keys that a query may attend to: all (None), those up to its own ("causal": the last query
# sees all keys, each one before it one key less), or an array that broadcasts to (B, heads, T, S):
# true where it may, or numbers to be added to the scores.
Mask = mx.array | Literal["causal"] | None

# The first and the last frame of a stretch, both included.
Reach = tuple[int, int]


def reach(layers: Sequence[Any], low: int, high: int) -> Reach:
    """The input frames that output frames depend on, through layers one after another.

    Layers that look sideways say so by a method `reach`; the others look at their own frame alone.

    Args:
        low, high: the first and the last output frame, both included. What is found may lie
            outside the input, where there is padding.
    """
    for layer in reversed(layers):
        if hasattr(layer, "reach"):
            low, high = layer.reach(low, high)
    return low, high


class Conv1d(nn.Module):
    """A convolution over time: x (B, T, in) → (B, T', out).

    Parameters:
        weight: (out, kernel, in // groups).
        bias: (out,).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels // groups * kernel_size)
        self.weight = mx.random.uniform(
            -bound, bound, (out_channels, kernel_size, in_channels // groups)
        )
        self.bias = mx.zeros((out_channels,))
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        sizes = (self.stride, self.padding, self.dilation, self.groups)
        return mx.conv1d(x, self.weight, *sizes) + self.bias

    def reach(self, low: int, high: int) -> Reach:
        first = low * self.stride - self.padding
        last = high * self.stride - self.padding + self.dilation * (self.kernel_size - 1)
        return first, last


class ConvTranspose1d(nn.Module):
    """A transposed convolution over time: x (B, T, in) → (B, about T · stride, out).

    Parameters:
        weight: (out, kernel, in // groups).
        bias: (out,).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int = 0,
        output_padding: int = 0,
        groups: int = 1,
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels // groups * kernel_size)
        self.weight = mx.random.uniform(
            -bound, bound, (out_channels, kernel_size, in_channels // groups)
        )
        self.bias = mx.zeros((out_channels,))
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        y = mx.conv_transpose1d(
            x,
            self.weight,
            self.stride,
            self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
        )
        return y + self.bias

    def reach(self, low: int, high: int) -> Reach:
        first = -((self.kernel_size - 1 - self.padding - low) // self.stride)
        return first, (high + self.padding) // self.stride


class GELU(nn.Module):
    """x · Φ(x), the exact form."""

    def __call__(self, x: mx.array) -> mx.array:
        return nn.gelu(x)


class SiLU(nn.Module):
    """x · σ(x)."""

    def __call__(self, x: mx.array) -> mx.array:
        return nn.silu(x)


class Snake(nn.Module):
    """x + sin²(αx) / α, which lets a layer express periodicity (Ziyin et al., 2020).

    Parameters:
        alpha: (channels,).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = mx.ones((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return x + mx.square(mx.sin(self.alpha * x)) / (self.alpha + 1e-9)


class RotaryEmbedding(nn.Module):
    """Rotates pairs of channels by an angle that grows with the position (Su et al., 2021)."""

    def __init__(self, head_dim: int, base: float) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.base = base

    def __call__(self, x: mx.array, position: int) -> mx.array:
        """x (B, heads, T, head_dim), its first token at `position` → the same shape."""
        return mx.fast.rope(
            x, self.head_dim, traditional=False, base=self.base, scale=1.0, offset=position
        )


class ScaledDotProductAttention(nn.Module):
    """Attention of queries to keys, without the projections around it."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.scale = head_dim**-0.5

    def __call__(
        self, queries: mx.array, keys: mx.array, values: mx.array, mask: Mask = None
    ) -> mx.array:
        """Queries (B, heads, T, head_dim) → the same shape.

        Keys and values (B, kv_heads, S, head_dim) may have fewer heads, each shared by several of
        the queries'.
        """
        return mx.fast.scaled_dot_product_attention(
            queries, keys, values, scale=self.scale, mask=mask
        )
