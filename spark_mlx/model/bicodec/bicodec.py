"""The speaking half of BiCodec: tokens → samples, and a reference clip → global tokens.

    semantic tokens (B, T)   → quantizer → z_q ─┐
                                                ├→ prenet → + speaker → wave generator → samples
    global tokens (B, G)     → speaker vector ──┘

Source: `sparktts.models.bicodec`; section 3.1 of the Spark-TTS paper.
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.bicodec.prenet import Prenet, PrenetConfig
from spark_mlx.model.bicodec.quantizers import QuantizerConfig, SemanticQuantizer
from spark_mlx.model.bicodec.speaker_encoder import SpeakerConfig, SpeakerEncoder
from spark_mlx.model.bicodec.wave_generator import WaveGenerator, WaveGeneratorConfig
from spark_mlx.model.mel import MelConfig, MelSpectrogram


@dataclasses.dataclass(frozen=True)
class BiCodecConfig:
    mel: MelConfig
    speaker_encoder: SpeakerConfig
    quantizer: QuantizerConfig
    prenet: PrenetConfig
    wave_generator: WaveGeneratorConfig

    @property
    def hop(self) -> int:
        """Samples to a semantic token."""
        return self.prenet.upsampling * self.wave_generator.upsampling


class BiCodec(nn.Module):
    def __init__(self, config: BiCodecConfig) -> None:
        super().__init__()
        self.hop = config.hop
        self.speaker_encoder = SpeakerEncoder(config.speaker_encoder)
        self.quantizer = SemanticQuantizer(config.quantizer)
        self.prenet = Prenet(config.prenet)
        self.wave_generator = WaveGenerator(config.wave_generator)
        self._mel = MelSpectrogram(config.mel)

    def encode_speaker(self, clip: mx.array) -> mx.array:
        """A reference clip (B, N) → global tokens (B, G), int32."""
        return self.speaker_encoder.encode(self._mel(clip))

    def decode(
        self,
        global_tokens: mx.array,
        semantic_tokens: mx.array,
        start: int = 0,
        stop: int | None = None,
    ) -> mx.array:
        """Global tokens (B, G) and semantic tokens (B, T) → samples (B, T · hop).

        Args:
            start, stop: give only the samples of these semantic tokens; the others are heard in
                them, as neighbours.
        """
        stop = semantic_tokens.shape[1] if stop is None else stop
        speaker = self.speaker_encoder.decode(global_tokens)
        features = self.prenet(self.quantizer.decode(semantic_tokens), speaker)
        return self.wave_generator(features + speaker[:, None], start * self.hop, stop * self.hop)

    def receptive_field(self) -> tuple[int, int]:
        """How many semantic tokens before and after its own the samples of one depend on."""
        before, after = self.prenet.reach(*self.wave_generator.reach(0, self.hop - 1))
        return -before, after
