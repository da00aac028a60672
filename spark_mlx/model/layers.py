"""The layers that a CPU computes in a way of its own; sequences are (batch, time, channels).

Metal and CUDA have kernels for them in MLX; for a CPU there is `spark_mlx.cpu`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.backends.cpu import ops

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
        if ops.in_use():
            return ops.conv1d(x, self.weight, self.bias, *sizes, training=self.training)
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
        sizes = (self.stride, self.padding)
        if ops.in_use():
            return ops.conv_transpose1d(
                x, self.weight, self.bias, *sizes, self.output_padding, self.groups
            )
        y = mx.conv_transpose1d(
            x, self.weight, *sizes, output_padding=self.output_padding, groups=self.groups
        )
        return y + self.bias

    def reach(self, low: int, high: int) -> Reach:
        first = -((self.kernel_size - 1 - self.padding - low) // self.stride)
        return first, (high + self.padding) // self.stride


class GELU(nn.Module):
    """x · Φ(x), the exact form."""

    def __call__(self, x: mx.array) -> mx.array:
        return ops.gelu(x) if ops.in_use() else nn.gelu(x)


class SiLU(nn.Module):
    """x · σ(x)."""

    def __call__(self, x: mx.array) -> mx.array:
        return ops.silu(x, self.training) if ops.in_use() else nn.silu(x)


class Snake(nn.Module):
    """x + sin²(αx) / α, which lets a layer express periodicity (Ziyin et al., 2020).

    Parameters:
        alpha: (channels,).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = mx.ones((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        if ops.in_use():
            return ops.snake(x, self.alpha)
        return x + mx.square(mx.sin(self.alpha * x)) / (self.alpha + 1e-9)


class RotaryPositions:
    """Turns pairs of channels by an angle that grows with the position (Su et al., 2021).

    One object serves all layers of a model.
    """

    def __init__(self, head_dim: int, base: float) -> None:
        self._head_dim = head_dim
        self._base = base
        self._turns = ops.Turns(head_dim, base)

    def __call__(self, x: mx.array, position: int) -> mx.array:
        """x (B, heads, T, head_dim), its first token at `position` → the same shape."""
        if ops.in_use():
            return self._turns(x, position)
        return mx.fast.rope(
            x, self._head_dim, traditional=False, base=self._base, scale=1.0, offset=position
        )


def attend(
    queries: mx.array, keys: mx.array, values: mx.array, scale: float, causal: bool = False
) -> mx.array:
    """Attention for many queries: (B, heads, T, head_dim) → the same shape.

    Keys and values may have fewer heads, each shared by several of the queries'. If `causal`, the
    last query sees all keys, and each one before it one key less.
    """
    if ops.in_use():
        return ops.attend(queries, keys, values, scale, causal)
    mask = "causal" if causal else None
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
