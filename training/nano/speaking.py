"""The speaking half in torch: codes' vectors and a speaker vector → features → samples.

The prenet and the wave generator, named as in the published checkpoint. Source of the latter:
Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (2023).
"""

from __future__ import annotations

from typing import Any

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


class _Wave(torch.autograd.Function):
    """x + sin²(αx) / α with a gradient of few passes: plain, it takes half of a step's time.

    sin²(αx) = (1 − cos 2αx) / 2, so one cosine is enough one way, and one sine the other.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor) -> Tensor:
        alpha = alpha.to(x.dtype)
        ripple = (x * (2 * alpha)).cos_().sub_(1).mul_(-0.5 / (alpha + 1e-9))
        ctx.save_for_backward(x, alpha, ripple)
        return x + ripple

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, alpha, ripple = ctx.saved_tensors
        sine = (x * (2 * alpha)).sin_()
        slope = torch.addcmul(gradient, gradient, sine)
        # d/dα = (x · sin 2αx − ripple) / α
        pull = sine.mul_(x).sub_(ripple).mul_(gradient).sum((0, 2), keepdim=True)
        return slope, (pull / (alpha + 1e-9)).float()


class Snake(nn.Module):
    """x + sin²(αx) / α, one α for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        waved: Tensor = _Wave.apply(x, self.alpha)
        return waved


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
