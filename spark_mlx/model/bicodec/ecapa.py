"""ECAPA-TDNN as far as its frame features: mel (B, T, F) → (B, T, features).

The pooling and the layers behind it make an x-vector, which speech never needs; they are left out.

Source: `sparktts.modules.speaker.ecapa_tdnn`; Desplanques et al., "ECAPA-TDNN" (2020).
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.layers import Conv1d

RES2_SCALE = 8
DILATIONS = (2, 3, 4)


class FoldedBatchNorm(nn.Module):
    """Batch norm with its statistics folded into one scale and one shift by the converter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = mx.ones((channels,))
        self.shift = mx.zeros((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return x * self.scale + self.shift


class ConvReluNorm(nn.Module):
    """Convolution, ReLU, and only then the batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.bn = FoldedBatchNorm(out_channels)

    def __call__(self, x: mx.array) -> mx.array:
        return self.bn(nn.relu(self.conv(x)))


class Res2Conv(nn.Module):
    """Channel groups convolved one after another, each taking in what the last one gave."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width = channels // RES2_SCALE
        self.convs = [
            Conv1d(width, width, 3, padding=dilation, dilation=dilation)
            for _ in range(RES2_SCALE - 1)
        ]
        self.bns = [FoldedBatchNorm(width) for _ in range(RES2_SCALE - 1)]

    def __call__(self, x: mx.array) -> mx.array:
        first, *others, last = mx.split(x, RES2_SCALE, axis=-1)
        y = self.bns[0](nn.relu(self.convs[0](first)))
        out = [y]
        for conv, bn, group in zip(self.convs[1:], self.bns[1:], others, strict=True):
            y = bn(nn.relu(conv(y + group)))
            out.append(y)
        return mx.concatenate([*out, last], axis=-1)


class SqueezeExcite(nn.Module):
    """Weighs the channels by what the whole clip holds."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, bottleneck)
        self.linear2 = nn.Linear(bottleneck, channels)

    def __call__(self, x: mx.array) -> mx.array:
        gate = nn.relu(self.linear1(x.mean(axis=1)))
        return x * mx.sigmoid(self.linear2(gate))[:, None]


class SERes2Block(nn.Module):
    def __init__(self, channels: int, bottleneck: int, dilation: int) -> None:
        super().__init__()
        self.se_res2block: list[nn.Module] = [
            ConvReluNorm(channels, channels, 1),
            Res2Conv(channels, dilation),
            ConvReluNorm(channels, channels, 1),
            SqueezeExcite(channels, bottleneck),
        ]

    def __call__(self, x: mx.array) -> mx.array:
        y = x
        for layer in self.se_res2block:
            y = layer(y)
        return x + y


class ECAPA(nn.Module):
    def __init__(self, mels: int, channels: int, bottleneck: int, features: int) -> None:
        super().__init__()
        self.layer1 = ConvReluNorm(mels, channels, 5)
        self.layer2, self.layer3, self.layer4 = (
            SERes2Block(channels, bottleneck, dilation) for dilation in DILATIONS
        )
        self.conv = Conv1d(3 * channels, features, 1)

    def __call__(self, mel: mx.array) -> mx.array:
        out1 = self.layer1(mel)
        out2 = self.layer2(out1)
        out3 = self.layer3(out2)
        out4 = self.layer4(out3)
        return nn.relu(self.conv(mx.concatenate([out2, out3, out4], axis=-1)))
