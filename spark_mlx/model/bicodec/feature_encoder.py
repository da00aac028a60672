"""The codec's feature encoder: wav2vec2 features (B, T, C) → latents (B, T', D) to be quantised.

Source: `sparktts.modules.encoder_decoder.feat_encoder`.
"""

from __future__ import annotations

import dataclasses
import math

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.bicodec.vocos import Downsample, VocosBackbone
from spark_mlx.model.config import Config


@dataclasses.dataclass(frozen=True)
class EncoderConfig(Config):
    input_channels: int
    vocos_dim: int
    vocos_intermediate_dim: int
    vocos_num_layers: int
    out_channels: int
    sample_ratios: tuple[int, ...]

    @property
    def downsampling(self) -> int:
        """Feature frames to a latent frame."""
        return math.prod(self.sample_ratios)


class Encoder(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim, intermediate = config.vocos_dim, config.vocos_intermediate_dim
        self.encoder = VocosBackbone(
            config.input_channels, dim, intermediate, config.vocos_num_layers
        )
        self.downsample: list[list[nn.Module]] = [
            [Downsample(dim, ratio), VocosBackbone(dim, dim, intermediate, num_layers=2)]
            for ratio in config.sample_ratios
        ]
        self.project = nn.Linear(dim, config.out_channels)

    def __call__(self, features: mx.array) -> mx.array:
        x = self.encoder(features)
        for resample, backbone in self.downsample:
            x = backbone(resample(x))
        return self.project(x)
