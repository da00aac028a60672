"""The wave generator: features (B, T, C) → samples (B, T · prod(rates)) in [−1, 1].

Source: `sparktts.modules.encoder_decoder.wave_generator`; the decoder of Kumar et al.,
"High-Fidelity Audio Compression with Improved RVQGAN" (2023).
"""

from __future__ import annotations

import dataclasses
import math

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.config import Config
from spark_mlx.model.layers import Conv1d, ConvTranspose1d, Reach, Snake, reach

DILATIONS = (1, 3, 9)


@dataclasses.dataclass(frozen=True)
class WaveGeneratorConfig(Config):
    input_channel: int
    channels: int
    rates: tuple[int, ...]
    kernel_sizes: tuple[int, ...]

    @property
    def upsampling(self) -> int:
        """Samples to a feature frame."""
        return math.prod(self.rates)


class ResidualUnit(nn.Module):
    """x (B, T, C) + conv(snake(dilated conv(snake(x)))) → the same shape."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.block: list[nn.Module] = [
            Snake(dim),
            Conv1d(dim, dim, 7, padding=3 * dilation, dilation=dilation),
            Snake(dim),
            Conv1d(dim, dim, 1),
        ]

    def __call__(self, x: mx.array) -> mx.array:
        y = x
        for layer in self.block:
            y = layer(y)
        return x + y

    def reach(self, low: int, high: int) -> Reach:
        return reach(self.block, low, high)


class DecoderBlock(nn.Module):
    """x: (B, T, input_dim) → (B, T · stride, output_dim)."""

    def __init__(self, input_dim: int, output_dim: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        padding = (kernel_size - stride) // 2
        self.stride = stride
        self.block: list[nn.Module] = [
            Snake(input_dim),
            ConvTranspose1d(input_dim, output_dim, kernel_size, stride, padding),
            *(ResidualUnit(output_dim, dilation) for dilation in DILATIONS),
        ]

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.block:
            x = layer(x)
        return x

    def reach(self, low: int, high: int) -> Reach:
        return reach(self.block, low, high)


class WaveGenerator(nn.Module):
    def __init__(self, config: WaveGeneratorConfig) -> None:
        super().__init__()
        self._upsampling = config.upsampling
        widths = [config.channels // 2**i for i in range(len(config.rates) + 1)]
        self.model: list[nn.Module] = [
            Conv1d(config.input_channel, config.channels, 7, padding=3),
            *(
                DecoderBlock(wide, narrow, kernel_size, rate)
                for wide, narrow, kernel_size, rate in zip(
                    widths, widths[1:], config.kernel_sizes, config.rates, strict=False
                )
            ),
            Snake(widths[-1]),
            Conv1d(widths[-1], 1, 7, padding=3),
        ]

    def __call__(self, x: mx.array, start: int = 0, stop: int | None = None) -> mx.array:
        """All samples, or those from `start` to `stop`: (B, stop - start).

        For some of them each layer computes what they depend on, and hardly more.
        """
        if stop is None:
            stop = x.shape[1] * self._upsampling
        first = 0  # the place of x's first frame
        for layer, (low, high) in zip(self.model, self._reaches(start, stop - 1), strict=True):
            low = max(low, first)
            x = layer(x[:, low - first : high + 1 - first])
            first = low * layer.stride if isinstance(layer, DecoderBlock) else low
        return mx.tanh(x[:, start - first : stop - first, 0])

    def reach(self, low: int, high: int) -> Reach:
        """The input frames that the samples from `low` to `high` depend on, both included."""
        return self._reaches(low, high)[0]

    def _reaches(self, low: int, high: int) -> list[Reach]:
        """The same for each layer's input."""
        found = [(low, high)]
        for layer in reversed(self.model):
            found.append(reach([layer], *found[-1]))
        return found[:0:-1]
