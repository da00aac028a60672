"""Compare this device's results with stored ones.

A model of a few thousand weights runs on the device in use. The stored results came from a CPU on
which the parity suite against the official code passed. The weights are a recipe
(`random_weights`), so only results are stored.

    python -m spark_mlx.diagnostics.selfcheck       writes the stored results anew
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from spark_mlx import backends
from spark_mlx.backends import Backend
from spark_mlx.diagnostics.random_weights import fill
from spark_mlx.model.bicodec.bicodec import BiCodec, BiCodecConfig
from spark_mlx.model.bicodec.feature_encoder import EncoderConfig
from spark_mlx.model.bicodec.prenet import PrenetConfig
from spark_mlx.model.bicodec.quantizers import QuantizerConfig
from spark_mlx.model.bicodec.semantic_encoder import SemanticEncoder
from spark_mlx.model.bicodec.speaker_encoder import SpeakerConfig
from spark_mlx.model.bicodec.wave_generator import WaveGeneratorConfig
from spark_mlx.model.mel import MelConfig
from spark_mlx.model.qwen2 import LMConfig, Qwen2
from spark_mlx.model.wav2vec2 import Wav2Vec2Config

STORED = Path(__file__).with_name("selfcheck.npz")
# What devices may differ by. GPUs round matrix products more coarsely than the stored results.
TOLERANCE = 2e-3

Results = dict[str, npt.NDArray[np.float32]]

_QUANTIZER = QuantizerConfig(input_dim=16, codebook_size=32, codebook_dim=4)
_BICODEC = BiCodecConfig(
    mel=MelConfig(16_000, 1024, 640, 320, 10, None, 16),
    speaker_encoder=SpeakerConfig(
        input_dim=16,
        out_dim=16,
        latent_dim=16,
        token_num=4,
        fsq_levels=(4, 5, 4),
        ecapa_channels=16,
        ecapa_bottleneck=8,
        ecapa_features=24,
        perceiver_heads=2,
        perceiver_head_dim=8,
    ),
    quantizer=_QUANTIZER,
    prenet=PrenetConfig(16, 16, 32, 2, 16, 16, (1, 1), False),
    wave_generator=WaveGeneratorConfig(16, 32, (8, 5, 4, 2), (16, 11, 8, 4)),
)
_ENCODER = EncoderConfig(16, 16, 32, 2, 16, (1, 1))
_WAV2VEC2 = Wav2Vec2Config(
    conv_dim=(16,) * 7,
    conv_kernel=(10, 3, 3, 3, 3, 2, 2),
    conv_stride=(5, 2, 2, 2, 2, 2, 2),
    hidden_size=16,
    intermediate_size=32,
    num_attention_heads=2,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
    layer_norm_eps=1e-5,
    mix_layers=(1, 2),
)
_LM = LMConfig(32, 64, 2, 4, 2, 64, 128, 1e-6, 1e6, True)


@dataclasses.dataclass(frozen=True)
class Check:
    """One stage compared: the largest difference, relative to the largest stored value."""

    name: str
    difference: float

    @property
    def passed(self) -> bool:
        return self.difference <= TOLERANCE


def run() -> list[Check]:
    """Run the checks on the default device."""
    computed = compute()
    with np.load(STORED) as stored:
        return [
            Check(
                name,
                float(np.abs(computed[name] - stored[name]).max() / np.abs(stored[name]).max()),
            )
            for name in stored.files
        ]


def compute() -> Results:
    """Run every stage of cloning and speaking on a second of a synthetic voice."""
    backend = backends.choose()
    with backend.new_stream():
        return _compute(backend)


def _compute(backend: Backend) -> Results:
    codec, lm = BiCodec(_BICODEC), Qwen2(_LM)
    encoder = SemanticEncoder(_WAV2VEC2, _ENCODER, _QUANTIZER)
    for module in (codec, encoder, lm):
        fill(module)
        backend.accelerate(module)
    time = np.arange(16_000) / 16_000
    samples = mx.array((0.3 * np.sin(2 * np.pi * 140 * time) ** 3).astype(np.float32))[None]
    voice = mx.array([[7, 70, 33, 12]])
    ids = mx.array([[3, 14, 15, 9, 26, 5, 35, 8]])
    cache = lm.make_cache()
    prefill = lm(ids, cache)
    return {
        name: np.array(value.astype(mx.float32))
        for name, value in {
            "mel": codec._mel(samples),
            "speaker features": codec.speaker_encoder.speaker_encoder(codec._mel(samples)),
            "global tokens": codec.encode_speaker(samples),
            "speaker vector": codec.speaker_encoder.decode(voice),
            "semantic latents": encoder(samples),
            "waveform": codec.decode(voice, mx.arange(32)[None]),
            "prefill logits": prefill,
            "decode logits": lm(ids[:, :1], cache),
        }.items()
    }


if __name__ == "__main__":
    np.savez_compressed(STORED, **compute())  # type: ignore[arg-type]
