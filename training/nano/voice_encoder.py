"""Who speaks, in torch: mel (B, T, F) → global tokens (B, G) → the speaker vector (B, D).

ECAPA-TDNN's frame features, resampled by a perceiver, rounded by finite scalar quantisation; named
as in the published checkpoint. Sources as in `spark_mlx`'s modules of the speaker encoder.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sizes import Voice

RES2_SCALE = 8
DILATIONS = (2, 3, 4)


class ConvReluNorm(nn.Module):
    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, width, kernel, padding=kernel // 2)
        self.bn = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(functional.relu(self.conv(x)))


class Res2Conv(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width, count = channels // RES2_SCALE, RES2_SCALE - 1
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for _ in range(count)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        *groups, last = x.chunk(RES2_SCALE, dim=1)
        out: list[Tensor] = []
        for conv, bn, group in zip(self.convs, self.bns, groups, strict=True):
            out.append(bn(functional.relu(conv(group + out[-1] if out else group))))
        return torch.cat([*out, last], dim=1)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, bottleneck)
        self.linear2 = nn.Linear(bottleneck, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = functional.relu(self.linear1(x.mean(dim=2)))
        return x * torch.sigmoid(self.linear2(gate))[..., None]


class SERes2Block(nn.Module):
    def __init__(self, channels: int, bottleneck: int, dilation: int) -> None:
        super().__init__()
        self.se_res2block = nn.Sequential(
            ConvReluNorm(channels, channels, 1),
            Res2Conv(channels, dilation),
            ConvReluNorm(channels, channels, 1),
            SqueezeExcite(channels, bottleneck),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.se_res2block(x)


class ECAPA(nn.Module):
    """(B, F, T) → (B, features, T)."""

    def __init__(self, sizes: Voice) -> None:
        super().__init__()
        channels = sizes.ecapa_channels
        self.layer1 = ConvReluNorm(sizes.input_dim, channels, 5)
        self.layer2, self.layer3, self.layer4 = (
            SERes2Block(channels, sizes.ecapa_bottleneck, dilation) for dilation in DILATIONS
        )
        self.conv = nn.Conv1d(3 * channels, sizes.ecapa_features, 1)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.layer2(self.layer1(mel))
        y = self.layer3(x)
        z = self.layer4(y)
        return functional.relu(self.conv(torch.cat([x, y, z], dim=1)))


class CrossAttention(nn.Module):
    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, dim, bias=False)
        self._heads = heads

    def forward(self, latents: Tensor, context: Tensor) -> Tensor:
        def split(x: Tensor) -> Tensor:
            return x.view(*x.shape[:2], self._heads, -1).transpose(1, 2)

        keys, values = self.to_kv(torch.cat([latents, context], dim=1)).chunk(2, dim=-1)
        out = functional.scaled_dot_product_attention(
            split(self.to_q(latents)), split(keys), split(values)
        )
        return self.to_out(out.transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, dim=-1)
        return functional.gelu(gate) * x


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1) * math.sqrt(x.shape[-1]) * self.gamma


class Perceiver(nn.Module):
    """(B, T, features) → (B, token_num, latent_dim)."""

    def __init__(self, sizes: Voice) -> None:
        super().__init__()
        dim, inner = sizes.latent_dim, int(sizes.latent_dim * sizes.perceiver_ff_mult * 2 / 3)
        self.proj_context = nn.Linear(sizes.ecapa_features, dim)
        self.latents = nn.Parameter(torch.randn(sizes.token_num, dim))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    CrossAttention(dim, sizes.perceiver_heads, sizes.perceiver_head_dim),
                    nn.Sequential(nn.Linear(dim, 2 * inner), GEGLU(), nn.Linear(inner, dim)),
                ]
            )
            for _ in range(sizes.perceiver_depth)
        )
        self.norm = RMSNorm(dim)

    def forward(self, context: Tensor) -> Tensor:
        context = self.proj_context(context)
        x = self.latents.expand(len(context), -1, -1)
        for attention, feed_forward in self.layers:
            x = x + attention(x, context)
            x = x + feed_forward(x)
        return self.norm(x)


class FSQ(nn.Module):
    """Rounds a few dimensions to a few levels each, an even number of them."""

    _half: Tensor
    _shift: Tensor
    _middle: Tensor
    _basis: Tensor
    _levels: Tensor

    def __init__(self, dim: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        if any(level % 2 for level in levels):
            raise ValueError(f"the levels are even numbers here, not {levels}")
        self.project_in = nn.Linear(dim, len(levels))
        self.project_out = nn.Linear(len(levels), dim)
        counts = torch.tensor(levels)
        half = (counts - 1) * (1 + 1e-3) / 2
        self.register_buffer("_half", half, persistent=False)
        self.register_buffer("_shift", torch.atanh(0.5 / half), persistent=False)
        self.register_buffer("_middle", counts // 2, persistent=False)
        basis = torch.cumprod(torch.tensor([1, *levels[:-1]]), dim=0)
        self.register_buffer("_basis", basis, persistent=False)
        self.register_buffer("_levels", counts, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, N, dim) → rounded, with the gradient of what was not, and codes (B, N)."""
        bounded = torch.tanh(self.project_in(x).float() + self._shift) * self._half - 0.5
        rounded = bounded + (bounded.round() - bounded).detach()
        codes = ((rounded.detach().round().long() + self._middle) * self._basis).sum(dim=-1)
        return self.project_out(rounded / self._middle), codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, N) → (B, N, dim)."""
        level = (codes[..., None] // self._basis) % self._levels
        return self.project_out((level - self._middle) / self._middle)


class SpeakerEncoder(nn.Module):
    def __init__(self, sizes: Voice) -> None:
        super().__init__()
        self.tokens = sizes.token_num
        self.speaker_encoder = ECAPA(sizes)
        self.perceiver_sampler = Perceiver(sizes)
        self.quantizer = FSQ(sizes.latent_dim, sizes.fsq_levels)
        self.project = nn.Linear(sizes.latent_dim * sizes.token_num, sizes.out_dim)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mel (B, T, F) → the speaker vector (B, D) and the global tokens (B, G)."""
        features = self.speaker_encoder(mel.transpose(1, 2)).transpose(1, 2)
        latents, codes = self.quantizer(self.perceiver_sampler(features))
        return self._vector(latents), codes

    def decode(self, codes: Tensor) -> Tensor:
        """Global tokens (B, G) → the speaker vector (B, D)."""
        return self._vector(self.quantizer.decode(codes))

    def _vector(self, latents: Tensor) -> Tensor:
        # The published projection takes latents flattened channel by channel.
        return self.project(latents.transpose(1, 2).flatten(1))
