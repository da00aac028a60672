"""The speaking half in torch: codes' vectors and a speaker vector → features → samples.

The prenet and the wave generator, named as in the published checkpoint. Source of the latter:
Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sizes import Sizes, Speaking
from vocos import Nothing, VocosBackbone

DILATIONS = (1, 3, 9)


class Prenet(nn.Module):
    """z_q (B, T, width), speaker (B, D) → (B, out_channels, T)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        own, condition = sizes.speaking, sizes.voice.out_dim
        dim, wide = own.vocos_dim, own.vocos_intermediate_dim
        self.linear_pre = nn.Linear(sizes.width, dim)
        self.downsample = nn.ModuleList(
            [nn.ModuleList([Nothing(), VocosBackbone(dim, dim, wide, 2)])]
        )
        self.vocos_backbone = VocosBackbone(dim, dim, wide, own.vocos_num_layers, condition)
        self.linear = nn.Linear(dim, own.out_channels)

    def forward(self, z_q: Tensor, speaker: Tensor) -> Tensor:
        x = self.linear_pre(z_q)
        for resample, backbone in self.downsample:
            x = backbone(resample(x).transpose(1, 2))
        x = self.linear(self.vocos_backbone(x.transpose(1, 2), speaker))
        return (x + speaker[:, None]).transpose(1, 2)


class Snake(nn.Module):
    """x + sin²(αx) / α, one α for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x).square() / (self.alpha + 1e-9)


class ResidualUnit(nn.Module):
    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(dim),
            nn.Conv1d(dim, dim, 7, padding=3 * dilation, dilation=dilation),
            Snake(dim),
            nn.Conv1d(dim, dim, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class DecoderBlock(nn.Module):
    def __init__(self, channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        padding = (kernel - stride) // 2
        self.block = nn.Sequential(
            Snake(channels),
            nn.ConvTranspose1d(channels, width, kernel, stride, padding),
            *(ResidualUnit(width, dilation) for dilation in DILATIONS),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class WaveGenerator(nn.Module):
    """Features (B, C, T) → samples (B, T · 320) in [−1, 1]."""

    def __init__(self, sizes: Speaking) -> None:
        super().__init__()
        widths = [sizes.channels // 2**i for i in range(len(sizes.rates) + 1)]
        shapes = zip(widths[:-1], widths[1:], sizes.kernel_sizes, sizes.rates, strict=True)
        self.model = nn.Sequential(
            nn.Conv1d(sizes.out_channels, sizes.channels, 7, padding=3),
            *(DecoderBlock(*shape) for shape in shapes),
            Snake(widths[-1]),
            nn.Conv1d(widths[-1], 1, 7, padding=3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.model(x)[:, 0])
