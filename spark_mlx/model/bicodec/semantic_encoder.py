"""The listening half of BiCodec: samples (B, N) → latents of semantic tokens (B, T, codebook_dim).

wav2vec2, the feature encoder and the quantiser's input projection. Its weights are a file of their
own, because speaking and cloning without a transcript never open it.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.bicodec.feature_encoder import Encoder, EncoderConfig
from spark_mlx.model.bicodec.quantizers import QuantizerConfig, projection
from spark_mlx.model.wav2vec2 import Wav2Vec2, Wav2Vec2Config


class SemanticEncoder(nn.Module):
    def __init__(
        self, wav2vec2: Wav2Vec2Config, encoder: EncoderConfig, quantizer: QuantizerConfig
    ) -> None:
        super().__init__()
        self.wav2vec2 = Wav2Vec2(wav2vec2)
        self.encoder = Encoder(encoder)
        self.in_project = projection(quantizer.input_dim, quantizer.codebook_dim)

    def __call__(self, samples: mx.array) -> mx.array:
        return self.in_project(self.encoder(self.wav2vec2(samples)))
