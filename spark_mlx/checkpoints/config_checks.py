"""Refuse configurations whose sizes are impossible, do not fit together or fill the memory.

    a ModelConfig → nothing, or a ConfigError that names the setting

A configuration comes from a file that anybody may have written. Native code and MLX take its sizes
as they are, so each is checked here once, for `load` and `convert` alike.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from spark_mlx.errors import ConfigError
from spark_mlx.model.config import Config, shown

if TYPE_CHECKING:
    from spark_mlx.checkpoints.model_config import ModelConfig

# Parameters of the whole model: three times the published one, 6 GB in float32.
MAX_PARAMETERS = 1_500_000_000
MAX_HOP = 4096  # samples to a semantic token

_RES2_SCALE = 8  # groups of ECAPA's channels
_WIDTH = (1, 1 << 14)
# Smallest and largest value of a setting, or of each item of a list.
_RANGES: dict[str, tuple[float, float]] = {
    "format_version": (1, 1 << 16),
    "quantize": (4, 8),
    "sample_rate": (8000, 48000),
    "reference_seconds": (0.1, 60),
    "longest_piece": (10, 10_000),
    "vocab_size": (1, 1 << 20),
    "num_hidden_layers": (1, 256),
    "max_position_embeddings": (128, 1 << 20),
    "rms_norm_eps": (1e-12, 0.1),
    "layer_norm_eps": (1e-12, 0.1),
    "rope_theta": (1, 1e12),
    "num_attention_heads": (1, 256),
    "num_key_value_heads": (1, 256),
    "n_fft": (64, 1 << 14),
    "win_length": (16, 1 << 14),
    "hop_length": (16, MAX_HOP),
    "mel_fmin": (0, 24_000),
    "mel_fmax": (1, 24_000),
    "num_mels": (8, 512),
    "token_num": (1, 1024),
    "fsq_levels": (2, 64),
    "perceiver_depth": (1, 64),
    "perceiver_heads": (1, 256),
    "perceiver_head_dim": (1, 1024),
    "perceiver_ff_mult": (1, 64),
    "codebook_size": (1, 1 << 20),
    "codebook_dim": (1, 1024),
    "vocos_num_layers": (1, 256),
    "sample_ratios": (1, 64),
    "rates": (1, 64),
    "kernel_sizes": (1, 128),
    "conv_kernel": (1, 128),
    "conv_stride": (1, 64),
    "num_conv_pos_embeddings": (2, 1024),
    "num_conv_pos_embedding_groups": (1, 1024),
    "mix_layers": (0, 256),
}


def check_config(config: ModelConfig, where: str) -> None:
    """Check ranges, agreement between the sections, and the number of parameters.

    Raises:
        ConfigError: a setting is out of its range, or two do not fit.
    """
    _check_ranges(config, where)
    for section, problem in _contradictions(config):
        raise ConfigError(f"{where}, section {section}: {problem}")
    if (count := parameters(config)) > MAX_PARAMETERS:
        raise ConfigError(
            f"{where} describes a model of {count / 1e9:.1f} billion parameters, and at most "
            f"{MAX_PARAMETERS / 1e9:.1f} billion are read here"
        )


def parameters(config: ModelConfig) -> int:
    """Roughly how many parameters a model has; all matrices are counted."""
    lm, speaker, prenet = config.lm, config.speaker_encoder, config.prenet
    wave, encoder, wav2vec2 = config.wave_generator, config.encoder, config.wav2vec2
    layer = 2 * lm.hidden_size**2 + 2 * lm.hidden_size * lm.num_key_value_heads * lm.head_dim
    layer += 3 * lm.hidden_size * lm.intermediate_size
    total = lm.num_hidden_layers * layer + 2 * lm.vocab_size * lm.hidden_size
    for vocos in (prenet, encoder):
        blocks = vocos.vocos_num_layers + 2 * len(vocos.sample_ratios)
        block = 2 * vocos.vocos_dim * vocos.vocos_intermediate_dim + 7 * vocos.vocos_dim
        condition = prenet.condition_dim if vocos is prenet else 0
        total += blocks * (block + 4 * vocos.vocos_dim * condition)
        total += vocos.vocos_dim * (7 * vocos.input_channels + vocos.out_channels)
        total += sum(2 * ratio * vocos.vocos_dim**2 for ratio in vocos.sample_ratios)
    channels = wave.channels
    total += 7 * wave.input_channel * channels
    for kernel in wave.kernel_sizes:
        total += kernel * channels * (channels // 2) + 24 * (channels // 2) ** 2
        channels //= 2
    inner = speaker.perceiver_heads * speaker.perceiver_head_dim
    perceiver = speaker.latent_dim * (
        4 * inner + 3 * speaker.perceiver_ff_mult * speaker.latent_dim
    )
    total += speaker.perceiver_depth * perceiver + speaker.ecapa_features * speaker.latent_dim
    total += speaker.latent_dim * speaker.token_num * speaker.out_dim
    total += speaker.ecapa_channels * (5 * speaker.input_dim + 3 * speaker.ecapa_features)
    total += (
        3 * speaker.ecapa_channels * (4 * speaker.ecapa_channels + 2 * speaker.ecapa_bottleneck)
    )
    layer = 4 * wav2vec2.hidden_size**2 + 2 * wav2vec2.hidden_size * wav2vec2.intermediate_size
    total += max(wav2vec2.mix_layers) * layer
    total += (
        wav2vec2.num_conv_pos_embeddings
        * wav2vec2.hidden_size**2
        // (wav2vec2.num_conv_pos_embedding_groups)
    )
    widths = (1, *wav2vec2.conv_dim)
    kernels = zip(widths, wav2vec2.conv_dim, wav2vec2.conv_kernel, strict=False)
    total += sum(math.prod(sizes) for sizes in kernels)
    return total + config.quantizer.codebook_size * config.quantizer.codebook_dim


def _check_ranges(config: Config, where: str) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Config):
            _check_ranges(value, f"{where}, section {field.name}")
            continue
        if isinstance(value, str | bool) or value is None:
            continue
        low, high = _RANGES.get(field.name, _WIDTH)
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high:
                raise ConfigError(
                    f"{where} sets {field.name} to {shown(value)}, an impossible value: "
                    f"it is from {low:g} to {high:g}"
                )


def _contradictions(config: ModelConfig) -> list[tuple[str, str]]:
    """Sections and what is wrong with them: settings that do not fit together."""
    lm, mel, speaker = config.lm, config.mel, config.speaker_encoder
    prenet, wave, encoder = config.prenet, config.wave_generator, config.encoder
    wav2vec2 = config.wav2vec2
    nyquist = mel.sample_rate / 2
    rules = (
        ("lm", lm.hidden_size % lm.num_attention_heads, "hidden_size is no multiple of the heads"),
        ("lm", lm.head_dim % 2 if lm.head_dim else 1, "the size of a head is odd"),
        (
            "lm",
            lm.num_attention_heads % lm.num_key_value_heads,
            "num_attention_heads is no multiple of num_key_value_heads",
        ),
        ("quantize", config.quantize not in (None, 4, 8), "quantize is 8, 4 or null"),
        ("dtype", config.dtype not in ("float32", "bfloat16"), "dtype is float32 or bfloat16"),
        ("mel", mel.sample_rate != config.sample_rate, "sample_rate differs from the model's"),
        ("mel", mel.win_length > mel.n_fft, "win_length is larger than n_fft"),
        ("mel", mel.n_fft % 2, "n_fft is odd"),
        (
            "mel",
            not mel.mel_fmin < (mel.mel_fmax or nyquist) <= nyquist,
            "mel_fmin and mel_fmax leave no frequencies below half the sample rate",
        ),
        ("speaker_encoder", speaker.input_dim != mel.num_mels, "input_dim is not mel's num_mels"),
        (
            "speaker_encoder",
            speaker.ecapa_channels % _RES2_SCALE,
            f"ecapa_channels is no multiple of {_RES2_SCALE}",
        ),
        ("speaker_encoder", speaker.codes > 1 << 24, "fsq_levels make more than 2^24 tokens"),
        (
            "quantizer",
            config.quantizer.input_dim != prenet.input_channels,
            "input_dim is not prenet's input_channels",
        ),
        (
            "encoder",
            encoder.out_channels != config.quantizer.input_dim,
            "out_channels is not quantizer's input_dim",
        ),
        (
            "encoder",
            encoder.input_channels != wav2vec2.hidden_size,
            "input_channels is not wav2vec2's hidden_size",
        ),
        (
            "prenet",
            prenet.out_channels != wave.input_channel,
            "out_channels is not wave_generator's input_channel",
        ),
        (
            "prenet",
            not prenet.condition_dim == speaker.out_dim == prenet.out_channels,
            "condition_dim, out_channels and speaker_encoder's out_dim differ",
        ),
        (
            "wave_generator",
            len(wave.rates) != len(wave.kernel_sizes),
            "rates and kernel_sizes differ in length",
        ),
        (
            "wave_generator",
            any(k < r or (k - r) % 2 for r, k in zip(wave.rates, wave.kernel_sizes, strict=False)),
            "a kernel is smaller than its rate, or their difference is odd",
        ),
        (
            "wave_generator",
            wave.channels % 2 ** len(wave.rates),
            "channels cannot be halved for each rate",
        ),
        ("wave_generator", config.hop > MAX_HOP, f"a token is more than {MAX_HOP} samples"),
        (
            "wav2vec2",
            not len(wav2vec2.conv_dim) == len(wav2vec2.conv_kernel) == len(wav2vec2.conv_stride),
            "conv_dim, conv_kernel and conv_stride differ in length",
        ),
        (
            "wav2vec2",
            wav2vec2.hidden_size % wav2vec2.num_attention_heads,
            "hidden_size is no multiple of the heads",
        ),
        (
            "wav2vec2",
            wav2vec2.hidden_size % wav2vec2.num_conv_pos_embedding_groups,
            "hidden_size is no multiple of num_conv_pos_embedding_groups",
        ),
        (
            "wav2vec2",
            wav2vec2.num_conv_pos_embeddings % 2,
            "num_conv_pos_embeddings is odd",
        ),
    )
    return [(section, problem) for section, wrong, problem in rules if wrong]
