"""The codec's prenet: quantised latents and a speaker vector → features for the wave generator.

Source: `sparktts.modules.encoder_decoder.feat_decoder`.
"""

from __future__ import annotations

import dataclasses
import math

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.bicodec.vocos import Upsample, VocosBackbone
from spark_mlx.model.config import Config
from spark_mlx.model.layers import Reach, reach


@dataclasses.dataclass(frozen=True)
class PrenetConfig(Config):
    input_channels: int
    vocos_dim: int
    vocos_intermediate_dim: int
    vocos_num_layers: int
    out_channels: int
    condition_dim: int
    sample_ratios: tuple[int, ...]
    use_tanh_at_final: bool

    @property
    def upsampling(self) -> int:
        """Feature frames to a semantic token."""
        return math.prod(self.sample_ratios)


class Prenet(nn.Module):
    """z_q (B, T, input_channels), speaker (B, condition_dim) → (B, T · upsampling, out)."""

    def __init__(self, config: PrenetConfig) -> None:
        super().__init__()
        dim, intermediate = config.vocos_dim, config.vocos_intermediate_dim
        self.linear_pre = nn.Linear(config.input_channels, dim)
        self.downsample: list[list[nn.Module]] = [
            [Upsample(dim, ratio), VocosBackbone(dim, dim, intermediate, num_layers=2)]
            for ratio in config.sample_ratios
        ]
        self.vocos_backbone = VocosBackbone(
            dim, dim, intermediate, config.vocos_num_layers, config.condition_dim
        )
        self.linear = nn.Linear(dim, config.out_channels)
        self._tanh = config.use_tanh_at_final

    def __call__(self, z_q: mx.array, speaker: mx.array) -> mx.array:
        x = self.linear_pre(z_q)
        for resample, backbone in self.downsample:
            x = backbone(resample(x))
        x = self.linear(self.vocos_backbone(x, speaker))
        return mx.tanh(x) if self._tanh else x

    def reach(self, low: int, high: int) -> Reach:
        """The latents that the output frames from `low` to `high` depend on, both included."""
        stages = [layer for stage in self.downsample for layer in stage]
        return reach([*stages, self.vocos_backbone], low, high)
