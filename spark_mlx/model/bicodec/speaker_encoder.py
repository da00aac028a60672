"""The speaker encoder: mel → 32 global tokens → speaker vector.

A voice travels as global tokens alone: frame features of ECAPA, resampled by the perceiver to a
fixed number of latents, rounded by FSQ; back through FSQ and one projection to the speaker vector.

Source: `sparktts.modules.speaker.speaker_encoder`; section 3.1 of the Spark-TTS paper.
"""

from __future__ import annotations

import dataclasses
import math

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.bicodec.ecapa import ECAPA
from spark_mlx.model.bicodec.perceiver import PerceiverResampler
from spark_mlx.model.bicodec.quantizers import FSQ
from spark_mlx.model.config import Config


@dataclasses.dataclass(frozen=True)
class SpeakerConfig(Config):
    """The last seven are constants in the official code, whose configuration does not name them."""

    input_dim: int
    out_dim: int
    latent_dim: int
    token_num: int
    fsq_levels: tuple[int, ...]
    ecapa_channels: int = 512
    ecapa_bottleneck: int = 128
    ecapa_features: int = 1536
    perceiver_depth: int = 2
    perceiver_heads: int = 8
    perceiver_head_dim: int = 64
    perceiver_ff_mult: int = 4

    @property
    def codes(self) -> int:
        """How many global tokens there are to tell apart."""
        return math.prod(self.fsq_levels)


class SpeakerEncoder(nn.Module):
    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.speaker_encoder = ECAPA(
            config.input_dim,
            config.ecapa_channels,
            config.ecapa_bottleneck,
            config.ecapa_features,
        )
        self.perceiver_sampler = PerceiverResampler(
            config.latent_dim,
            config.ecapa_features,
            config.token_num,
            config.perceiver_depth,
            config.perceiver_heads,
            config.perceiver_head_dim,
            config.perceiver_ff_mult,
        )
        self.quantizer = FSQ(config.latent_dim, config.fsq_levels)
        self.project = nn.Linear(config.latent_dim * config.token_num, config.out_dim)

    def encode(self, mel: mx.array) -> mx.array:
        """Mel (B, T, input_dim) → global tokens (B, token_num), int32."""
        return self.quantizer.encode(self.perceiver_sampler(self.speaker_encoder(mel)))

    def decode(self, tokens: mx.array) -> mx.array:
        """Global tokens (B, token_num) → the speaker vector (B, out_dim), upstream's d-vector."""
        latents = self.quantizer.decode(tokens)
        # The projection was trained on latents flattened channel by channel.
        return self.project(latents.transpose(0, 2, 1).reshape(latents.shape[0], -1))
