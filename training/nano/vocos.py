"""Vocos' ConvNeXt backbone in torch, named as in the published checkpoint: (B, C, T) → (B, D, T).

Source: Siuzdak, "Vocos" (2023), as BiCodec uses it: see `spark_mlx`'s module of the same name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-6


class AdaLayerNorm(nn.Module):
    """Layer norm whose scale and shift are read from a condition; the scale starts at one."""

    def __init__(self, condition_dim: int, dim: int) -> None:
        super().__init__()
        self.scale = nn.Linear(condition_dim, dim)
        self.shift = nn.Linear(condition_dim, dim)
        nn.init.normal_(self.scale.weight, std=0.02)
        nn.init.ones_(self.scale.bias)
        nn.init.normal_(self.shift.weight, std=0.02)
        nn.init.zeros_(self.shift.bias)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """x: (B, T, C), condition: (B, D)."""
        assert condition is not None
        x = functional.layer_norm(x, x.shape[-1:], eps=EPS)
        return x * self.scale(condition)[:, None] + self.shift(condition)[:, None]


class LayerNorm(nn.LayerNorm):
    """Layer norm that takes, and ignores, a condition."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=EPS)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().forward(x)


def _norm(dim: int, condition_dim: int | None) -> nn.Module:
    return LayerNorm(dim) if condition_dim is None else AdaLayerNorm(condition_dim, dim)


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim: int, wide: int, layer_scale: float, condition_dim: int | None) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = _norm(dim, condition_dim)
        self.pwconv1 = nn.Linear(dim, wide)
        self.pwconv2 = nn.Linear(wide, dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """x: (B, C, T)."""
        y = self.norm(self.dwconv(x).transpose(1, 2), condition)
        y = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(y)))
        return x + y.transpose(1, 2)


class VocosBackbone(nn.Module):
    """x: (B, input_channels, T), condition: (B, condition_dim) or None → (B, T, dim)."""

    def __init__(
        self, channels: int, dim: int, wide: int, layers: int, condition_dim: int | None = None
    ) -> None:
        super().__init__()
        self.embed = nn.Conv1d(channels, dim, 7, padding=3)
        self.norm = _norm(dim, condition_dim)
        self.convnext = nn.ModuleList(
            ConvNeXtBlock(dim, wide, 1 / layers, condition_dim) for _ in range(layers)
        )
        self.final_layer_norm = LayerNorm(dim)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.norm(self.embed(x).transpose(1, 2), condition).transpose(1, 2)
        for block in self.convnext:
            x = block(x, condition)
        return self.final_layer_norm(x.transpose(1, 2))


class Nothing(nn.Module):
    """A resampling by a factor of one, which is three times its input."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * x
