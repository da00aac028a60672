"""The ConvNeXt backbone of Vocos, in the codec's encoder and its prenet: (B, T, C) → (B, T, D).

Source: `sparktts.modules.blocks.vocos` and `.samper` of the official code; Siuzdak, "Vocos" (2023).
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.layers import GELU, Conv1d, ConvTranspose1d, Reach, reach

EPS = 1e-6


class AdaLayerNorm(nn.Module):
    """Layer norm whose scale and shift are read from a condition.

    The scale multiplies as it is: it is not an offset from one.
    """

    def __init__(self, condition_dim: int, dim: int) -> None:
        super().__init__()
        self.scale = nn.Linear(condition_dim, dim)
        self.shift = nn.Linear(condition_dim, dim)

    def __call__(self, x: mx.array, condition: mx.array) -> mx.array:
        """x: (B, T, C), condition: (B, D) → (B, T, C)."""
        x = mx.fast.layer_norm(x, None, None, EPS)
        return x * self.scale(condition)[:, None] + self.shift(condition)[:, None]


class LayerNorm(nn.LayerNorm):
    """Layer norm that takes, and ignores, a condition, so that one backbone serves both kinds."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=EPS)

    def __call__(self, x: mx.array, condition: mx.array | None = None) -> mx.array:
        return super().__call__(x)


def _norm(dim: int, condition_dim: int | None) -> nn.Module:
    return LayerNorm(dim) if condition_dim is None else AdaLayerNorm(condition_dim, dim)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, two pointwise layers, scaled and added back."""

    def __init__(
        self, dim: int, intermediate_dim: int, layer_scale: float, condition_dim: int | None
    ) -> None:
        super().__init__()
        self.dwconv = Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = _norm(dim, condition_dim)
        self.pwconv1 = nn.Linear(dim, intermediate_dim)
        self.act = GELU()
        self.pwconv2 = nn.Linear(intermediate_dim, dim)
        self.gamma = mx.full((dim,), layer_scale)

    def __call__(self, x: mx.array, condition: mx.array | None) -> mx.array:
        y = self.norm(self.dwconv(x), condition)
        return x + self.gamma * self.pwconv2(self.act(self.pwconv1(y)))

    def reach(self, low: int, high: int) -> Reach:
        return self.dwconv.reach(low, high)


class VocosBackbone(nn.Module):
    """x: (B, T, input_channels), condition: (B, condition_dim) or None → (B, T, dim)."""

    def __init__(
        self,
        input_channels: int,
        dim: int,
        intermediate_dim: int,
        num_layers: int,
        condition_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.embed = Conv1d(input_channels, dim, 7, padding=3)
        self.norm = _norm(dim, condition_dim)
        self.convnext = [
            ConvNeXtBlock(dim, intermediate_dim, 1 / num_layers, condition_dim)
            for _ in range(num_layers)
        ]
        self.final_layer_norm = LayerNorm(dim)

    def __call__(self, x: mx.array, condition: mx.array | None = None) -> mx.array:
        x = self.norm(self.embed(x), condition)
        for block in self.convnext:
            x = block(x, condition)
        return self.final_layer_norm(x)

    def reach(self, low: int, high: int) -> Reach:
        return reach([self.embed, *self.convnext], low, high)


class Downsample(nn.Module):
    """Shortens a sequence by `ratio`: x (B, T, C) → (B, T // ratio, C).

    A strided convolution beside two average pools. With a ratio of 1 nothing is left but the sum of
    three times the input, and no weights.
    """

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        if ratio > 1:
            padding = ratio // 2 + ratio % 2
            self.conv_downsampler = [
                nn.LeakyReLU(0.2),
                Conv1d(dim, dim, 2 * ratio, stride=ratio, padding=padding, groups=dim),
            ]

    def __call__(self, x: mx.array) -> mx.array:
        if self.ratio == 1:
            return 3 * x
        batch, length, dim = x.shape
        frames = length // self.ratio
        pooled = x[:, : frames * self.ratio].reshape(batch, frames, self.ratio, dim).mean(axis=2)
        activation, conv = self.conv_downsampler
        return conv(activation(x))[:, :frames] + 2 * pooled


class Upsample(nn.Module):
    """Lengthens a sequence by `ratio`: x (B, T, C) → (B, T · ratio, C).

    A transposed convolution beside plain repetition; the same sum of three as `Downsample`.
    """

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        if ratio > 1:
            self.de_conv_upsampler = [
                nn.LeakyReLU(0.2),
                ConvTranspose1d(
                    dim,
                    dim,
                    2 * ratio,
                    stride=ratio,
                    padding=ratio // 2 + ratio % 2,
                    output_padding=ratio % 2,
                    groups=dim,
                ),
            ]

    def __call__(self, x: mx.array) -> mx.array:
        if self.ratio == 1:
            return 3 * x
        activation, conv = self.de_conv_upsampler
        return 2 * conv(activation(x)) + 3 * mx.repeat(x, self.ratio, axis=1)

    def reach(self, low: int, high: int) -> Reach:
        if self.ratio == 1:
            return low, high
        first, last = reach(self.de_conv_upsampler, low, high)
        return min(first, low // self.ratio), max(last, high // self.ratio)
