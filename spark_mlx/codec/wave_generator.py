"""The wave generator: features (B, T, C) → samples (B, T · prod(rates)) in [−1, 1].

Source: `sparktts.modules.encoder_decoder.wave_generator`; the decoder of Kumar et al.,
"High-Fidelity Audio Compression with Improved RVQGAN" (2023).
"""

from __future__ import annotations

import dataclasses
import math

import mlx.core as mx
import mlx.nn as nn

from spark_mlx import cpu
from spark_mlx.config import Config
from spark_mlx.layers import Conv1d, ConvTranspose1d, Snake

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
    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.block: list[nn.Module] = [
            Snake(dim),
            Conv1d(dim, dim, 7, padding=3 * dilation, dilation=dilation),
            Snake(dim),
            Conv1d(dim, dim, 1),
        ]

    def __call__(self, x: mx.array) -> mx.array:
        if cpu.in_use() and (y := cpu.residual_unit(x, *self.block)) is not None:
            return y
        y = x
        for layer in self.block:
            y = layer(y)
        return x + y


class DecoderBlock(nn.Module):
    """x: (B, T, input_dim) → (B, T · stride, output_dim)."""

    def __init__(self, input_dim: int, output_dim: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        padding = (kernel_size - stride) // 2
        self.block: list[nn.Module] = [
            Snake(input_dim),
            ConvTranspose1d(input_dim, output_dim, kernel_size, stride, padding),
            *(ResidualUnit(output_dim, dilation) for dilation in DILATIONS),
        ]

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.block:
            x = layer(x)
        return x


class WaveGenerator(nn.Module):
    def __init__(self, config: WaveGeneratorConfig) -> None:
        super().__init__()
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

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.model:
            x = layer(x)
        return mx.tanh(x[..., 0])
