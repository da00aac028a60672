"""1-D convolutions over sequences laid out as (batch, time, channels).

The only file that knows how a convolution is computed; everything else says which one it wants.
"""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn


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
        self._stride = stride
        self._padding = padding
        self._dilation = dilation
        self._groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        y = mx.conv1d(x, self.weight, self._stride, self._padding, self._dilation, self._groups)
        return y + self.bias


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
        self._stride = stride
        self._padding = padding
        self._output_padding = output_padding
        self._groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        y = mx.conv_transpose1d(
            x,
            self.weight,
            stride=self._stride,
            padding=self._padding,
            output_padding=self._output_padding,
            groups=self._groups,
        )
        return y + self.bias
