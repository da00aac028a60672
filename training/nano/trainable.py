"""The codec as one module that can be trained: what is said and a voice → samples.

Made of the runtime's own modules, so that what it learns is saved under the runtime's names. Only
the two roundings differ (`quantisation.py`).
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import mlx.nn as nn

from quantisation import fsq_straight_through, straight_through, unit
from spark_mlx.codec.bicodec import BiCodec
from spark_mlx.codec.semantic import SemanticEncoder
from spark_mlx.codec.vocos import AdaLayerNorm
from spark_mlx.model_config import ModelConfig


@dataclasses.dataclass(frozen=True)
class Passed:
    """What went through the codec.

    Attributes:
        samples: (B, T · hop).
        latents: (B, T, D), of length one.
        codes: (B, T), or None when nothing was quantised.
        commitment: a scalar; zero when nothing was quantised.
    """

    samples: mx.array
    latents: mx.array
    codes: mx.array | None
    commitment: mx.array


class TrainableCodec(nn.Module):
    """BiCodec and its semantic encoder; `bicodec` and `semantic` are the runtime's modules."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.bicodec = BiCodec(config.bicodec)
        self.semantic = SemanticEncoder(config.wav2vec2, config.encoder, config.quantizer)
        self.tokens_are_fixed = False
        self._prepare()

    def fix_tokens(self) -> None:
        """From here on only what speaks is trained, and every recording keeps its tokens.

        So a language model may learn them while the sound still gets better.
        """
        self.tokens_are_fixed = True
        speaker = self.bicodec.speaker_encoder
        for part in (self.semantic, speaker.speaker_encoder, speaker.perceiver_sampler):
            part.freeze()
        speaker.quantizer.freeze()

    def latents(self, heard: mx.array) -> mx.array:
        """Normalised samples (B, N) → latents of what is said (B, T, D), of length one.

        The runtime brings a whole recording to zero mean and unit variance. A segment must not be
        normalised by itself, or a pause would be heard as loud noise: so it comes as it is heard
        within its recording.
        """
        wav2vec2 = self.semantic.wav2vec2
        features = wav2vec2.feature_extractor(heard[..., None])
        features = wav2vec2.encoder(wav2vec2.feature_projection(features))
        return unit(self.semantic.in_project(self.semantic.encoder(features)))

    def speaker(self, mel: mx.array) -> mx.array:
        """The mel of a reference clip (B, frames, mels) → the speaker vector (B, out_dim)."""
        encoder = self.bicodec.speaker_encoder
        frames = encoder.speaker_encoder(mel)
        latents = fsq_straight_through(encoder.quantizer, encoder.perceiver_sampler(frames))
        if self.tokens_are_fixed:
            latents = mx.stop_gradient(latents)
        return encoder.project(latents.transpose(0, 2, 1).reshape(latents.shape[0], -1))

    def decode(self, vectors: mx.array, speaker: mx.array) -> mx.array:
        """Latents or codes' vectors (B, T, D), speaker (B, out_dim) → samples (B, T · hop)."""
        z_q = self.bicodec.quantizer.out_project(vectors)
        features = self.bicodec.prenet(z_q, speaker)
        return self.bicodec.wave_generator(features + speaker[:, None])

    def __call__(
        self, heard: mx.array, mel: mx.array, quantised: bool, noise: mx.array | None = None
    ) -> Passed:
        """Through the codec and back.

        Args:
            heard: what is said, normalised, (B, N).
            mel: of the reference clips, (B, frames, mels).
            quantised: whether latents are rounded to codes.
            noise: of the latents' shape, added to them while they are not.
        """
        latents = self.latents(heard)
        if self.tokens_are_fixed:
            latents = mx.stop_gradient(latents)
        if quantised:
            vectors, codes, commitment = straight_through(self.bicodec.quantizer, latents)
        else:
            vectors = latents if noise is None else unit(latents + noise)
            codes, commitment = None, mx.array(0.0)
        return Passed(self.decode(vectors, self.speaker(mel)), latents, codes, commitment)

    def _prepare(self) -> None:
        for module in self.modules():
            if isinstance(module, AdaLayerNorm):
                # Its scale multiplies as it is, so it has to begin at one.
                module.scale.weight = 0.1 * module.scale.weight
                module.scale.bias = mx.ones_like(module.scale.bias)
        # The latents a voice is gathered in have to differ, or all its tokens would be the same.
        perceiver = self.bicodec.speaker_encoder.perceiver_sampler
        perceiver.latents = perceiver.latents / mx.std(perceiver.latents)
        # The codebook follows running means; a gradient would only be zero.
        self.bicodec.quantizer.codebook.freeze()
