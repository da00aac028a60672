"""Convolutions on a CPU: (B, T, in) → (B, T', out).

By the native extension; where it is not there, as products and sums of MLX arrays. MLX's CPU
backend runs a dilated, grouped or transposed convolution as a scalar loop, some hundred times
slower than the same numbers as matrix products.
"""

from __future__ import annotations

import mlx.core as mx

from spark_mlx.backends.cpu import functions, gradients
from spark_mlx.backends.cpu.fit import FromPlain
from spark_mlx.backends.cpu.functions import is_native
from spark_mlx.model.bicodec.wave_generator import ResidualUnit
from spark_mlx.model.layers import Conv1d, ConvTranspose1d


class CPUConv1d(FromPlain, Conv1d):
    def __call__(self, x: mx.array) -> mx.array:
        sizes = (self.stride, self.padding, self.dilation, self.groups)
        frames = self._frames(x.shape[1])
        depthwise = self.groups == x.shape[2] == len(self.weight)
        if not is_native(x, self.weight) or depthwise or frames < 1:
            return self._by_products(x, frames, depthwise)
        if not self.training:
            return functions.conv(x, self.weight, self.bias, *sizes)
        if self.groups == 1 and (self.stride == 1 or self.dilation == 1):
            return gradients.conv(*sizes)(x, self.weight, self.bias)
        return self._by_products(x, frames, depthwise)

    def _frames(self, length: int) -> int:
        """How many frames the output has."""
        reach = self.dilation * (self.kernel_size - 1) + 1
        return (length + 2 * self.padding - reach) // self.stride + 1

    def _by_products(self, x: mx.array, frames: int, depthwise: bool) -> mx.array:
        weight, bias, groups = self.weight, self.bias, self.groups
        padded = mx.pad(x, [(0, 0), (self.padding, self.padding), (0, 0)])
        span = (frames - 1) * self.stride + 1
        firsts = [j * self.dilation for j in range(self.kernel_size)]
        taps = [padded[:, first : first + span : self.stride] for first in firsts]
        if depthwise:
            y = bias
            for j, tap in enumerate(taps):
                y = y + tap * weight[:, j, 0]
            return y
        if groups > 1:
            # (groups, B · T', kernel · in) by (groups, kernel · in, out).
            windows = mx.stack([tap.reshape(*tap.shape[:2], groups, -1) for tap in taps], axis=3)
            columns = windows.transpose(2, 0, 1, 3, 4).reshape(groups, x.shape[0] * frames, -1)
            matrices = weight.reshape(groups, len(bias) // groups, -1).swapaxes(1, 2)
            y = (columns @ matrices).reshape(groups, x.shape[0], frames, -1)
            return y.transpose(1, 2, 0, 3).reshape(x.shape[0], frames, -1) + bias
        if self.dilation == 1 and not self.training:  # whose gradient is a scalar loop
            return mx.conv1d(x, weight, self.stride, self.padding) + bias
        y = bias
        for j, tap in enumerate(taps):
            y = mx.addmm(y, tap, weight[:, j].T)
        return y


class CPUConvTranspose1d(FromPlain, ConvTranspose1d):
    def __call__(self, x: mx.array) -> mx.array:
        reach = self.kernel_size - 2 * self.padding + self.output_padding
        frames = (x.shape[1] - 1) * self.stride + reach
        if not is_native(x, self.weight) or self.groups > 1 or frames < 1:
            return super().__call__(x)
        sizes = (self.stride, self.padding, self.output_padding)
        if self.training:
            return gradients.conv_transpose(*sizes)(x, self.weight, self.bias)
        return functions.conv_transpose(x, self.weight, self.bias, *sizes)


class CPUResidualUnit(FromPlain, ResidualUnit):
    """The four steps share a tile of the sequence that stays in the cache; one by one, each would
    fetch its input from memory and put its output back.
    """

    def __call__(self, x: mx.array) -> mx.array:
        snake1, wide, snake2, narrow = self.block
        if self.training or not is_native(x, wide.weight):  # the fused unit has no gradient
            return super().__call__(x)
        parameters = (
            snake1.alpha, wide.weight, wide.bias, snake2.alpha, narrow.weight, narrow.bias
        )  # fmt: skip
        return functions.residual_unit(x, *parameters, wide.kernel_size, wide.dilation)
