"""A transposed convolution that multiplies no zeros: (B, T, in) → (B, about T · stride, out).

MLX's own spreads the input with zeros and convolves that, five times the work in BiCodec. A frame
of `stride` output samples depends on the same few input frames in the same way, so that all of it
is a plain convolution with `stride` times the output channels.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.backends.fit import FromPlain
from spark_mlx.model.layers import ConvTranspose1d


class PhasedConvTranspose1d(FromPlain, ConvTranspose1d):
    """Without groups; with them the layer is small, and MLX's own serves.

    Parameters:
        weight: (stride · out, runs, in), the kernel backwards in runs of `stride`.
    """

    @classmethod
    def from_plain(cls, plain: nn.Module) -> PhasedConvTranspose1d:
        fitted = super().from_plain(plain)
        out, kernel, channels = plain.weight.shape
        # The last output samples may lie behind the kernel's reach.
        behind = max(0, plain.output_padding - plain.padding)
        runs = -(-(kernel + behind) // plain.stride)
        weight = mx.pad(plain.weight, [(0, 0), (0, runs * plain.stride - kernel), (0, 0)])
        weight = weight.reshape(out, runs, plain.stride, channels)[:, ::-1].transpose(2, 0, 1, 3)
        fitted.weight = mx.contiguous(weight.reshape(plain.stride * out, runs, channels))
        return fitted

    def __call__(self, x: mx.array) -> mx.array:
        batch, length, _ = x.shape
        reach = self.kernel_size - 2 * self.padding + self.output_padding
        frames = (length - 1) * self.stride + reach
        y = mx.conv1d(x, self.weight, padding=self.weight.shape[1] - 1)
        y = y.reshape(batch, -1, len(self.bias))
        return y[:, self.padding : self.padding + frames] + self.bias
