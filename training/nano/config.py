"""What nano is: the published architecture, small enough to be trained on a CPU.

NANO is its configuration, and `tokenizer_json` its vocabulary: bytes for the text, and a token for
each code, label and value. All lengths in time (16 kHz, 50 semantic tokens a second) are the
published model's.
"""

from __future__ import annotations

import dataclasses

from spark_mlx.codec.encoder import EncoderConfig
from spark_mlx.codec.prenet import PrenetConfig
from spark_mlx.codec.quantizers import QuantizerConfig
from spark_mlx.codec.speaker import SpeakerConfig
from spark_mlx.codec.wave_generator import WaveGeneratorConfig
from spark_mlx.labels import GENDERS, LEVELS
from spark_mlx.lm import LMConfig
from spark_mlx.mel import MelConfig
from spark_mlx.model_config import Fingerprints, ModelConfig
from spark_mlx.random_model import byte_tokenizer
from spark_mlx.tokens import PITCH_VALUES, SPEED_VALUES
from spark_mlx.version import FORMAT_VERSION
from spark_mlx.wav2vec2 import Wav2Vec2Config

_BYTES = 256
_TOKENS = (
    "im_end",
    "task_tts",
    "task_controllable_tts",
    "start_content",
    "end_content",
    "start_style_label",
    "end_style_label",
    "start_acoustic_token",
    "end_acoustic_token",
    "start_global_token",
    "end_global_token",
    "start_semantic_token",
)


def vocabulary_size(global_codes: int, semantic_codes: int) -> int:
    """How many ids `tokenizer_json` gives out."""
    return _BYTES + len(_TOKENS) + sum(_ranges(global_codes, semantic_codes).values())


def tokenizer_json(global_codes: int, semantic_codes: int) -> str:
    """A tokenizer.json without gaps: bytes, the frame of a prompt, then each range of codes."""
    names = [*_TOKENS]
    for name, size in _ranges(global_codes, semantic_codes).items():
        names += [f"{name}_{code}" for code in range(size)]
    return byte_tokenizer({name: _BYTES + i for i, name in enumerate(names)})


def _ranges(global_codes: int, semantic_codes: int) -> dict[str, int]:
    return {
        "gender": len(GENDERS),
        "pitch_label": len(LEVELS),
        "speed_label": len(LEVELS),
        "pitch_value": PITCH_VALUES,
        "speed_value": SPEED_VALUES,
        "bicodec_global": global_codes,
        "bicodec_semantic": semantic_codes,
    }


# 256 global codes, not 4096: 16 of them hold 128 bits, more than enough for synthetic voices, and
# the language model sees each code often enough to learn it.
_SPEAKER = SpeakerConfig(
    input_dim=80,
    out_dim=128,
    latent_dim=64,
    token_num=16,
    fsq_levels=(4,) * 4,
    ecapa_channels=128,
    ecapa_bottleneck=32,
    ecapa_features=256,
    perceiver_depth=2,
    perceiver_heads=4,
    perceiver_head_dim=32,
    perceiver_ff_mult=4,
)
_QUANTIZER = QuantizerConfig(input_dim=128, codebook_size=4096, codebook_dim=8)

NANO = ModelConfig(
    format_version=FORMAT_VERSION,
    fingerprint=Fingerprints("untrained", "untrained", "untrained"),
    dtype="float32",
    quantize=None,
    sample_rate=16_000,
    reference_seconds=3,
    level_reference=True,
    lm=LMConfig(
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocabulary_size(_SPEAKER.codes, _QUANTIZER.codebook_size),
        max_position_embeddings=4096,
        rms_norm_eps=1e-6,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
    ),
    mel=MelConfig(
        sample_rate=16_000,
        n_fft=1024,
        win_length=640,
        hop_length=320,
        mel_fmin=10,
        mel_fmax=None,
        num_mels=80,
    ),
    speaker_encoder=_SPEAKER,
    quantizer=_QUANTIZER,
    prenet=PrenetConfig(
        input_channels=128,
        vocos_dim=128,
        vocos_intermediate_dim=384,
        vocos_num_layers=6,
        out_channels=128,
        condition_dim=128,
        sample_ratios=(1,),
        use_tanh_at_final=False,
    ),
    wave_generator=WaveGeneratorConfig(
        input_channel=128, channels=256, rates=(4, 4, 5, 4), kernel_sizes=(8, 8, 11, 8)
    ),
    encoder=EncoderConfig(
        input_channels=96,
        vocos_dim=96,
        vocos_intermediate_dim=288,
        vocos_num_layers=3,
        out_channels=128,
        sample_ratios=(1,),
    ),
    # Nothing here was pre-trained: it learns with the rest, and its last state is what is heard.
    wav2vec2=Wav2Vec2Config(
        conv_dim=(32, *(64,) * 6),
        conv_kernel=(10, 3, 3, 3, 3, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2),
        hidden_size=96,
        intermediate_size=288,
        num_attention_heads=4,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
        layer_norm_eps=1e-5,
        mix_layers=(4,),
    ),
    # Most sentences of the corpus have fewer than 80 characters; some are joined in pairs.
    longest_piece=120,
)


def tiny() -> ModelConfig:
    """NANO with next to no width, for tests of the recipe itself."""
    speaker = dataclasses.replace(
        _SPEAKER,
        out_dim=16,
        latent_dim=16,
        token_num=4,
        ecapa_channels=16,
        ecapa_bottleneck=8,
        ecapa_features=24,
        perceiver_depth=1,
        perceiver_heads=2,
        perceiver_head_dim=8,
    )
    quantizer = dataclasses.replace(_QUANTIZER, input_dim=16, codebook_size=64)
    return dataclasses.replace(
        NANO,
        reference_seconds=1,
        lm=dataclasses.replace(
            NANO.lm,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            vocab_size=vocabulary_size(speaker.codes, quantizer.codebook_size),
        ),
        speaker_encoder=speaker,
        quantizer=quantizer,
        prenet=dataclasses.replace(
            NANO.prenet,
            input_channels=16,
            vocos_dim=16,
            vocos_intermediate_dim=32,
            vocos_num_layers=1,
            out_channels=16,
            condition_dim=16,
        ),
        wave_generator=dataclasses.replace(NANO.wave_generator, input_channel=16, channels=32),
        encoder=dataclasses.replace(
            NANO.encoder,
            input_channels=16,
            vocos_dim=16,
            vocos_intermediate_dim=32,
            vocos_num_layers=1,
            out_channels=16,
        ),
        wav2vec2=dataclasses.replace(
            NANO.wav2vec2,
            conv_dim=(16,) * 7,
            hidden_size=16,
            intermediate_size=32,
            num_attention_heads=2,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=4,
            mix_layers=(1,),
        ),
    )
