"""A model of random weights, made in memory: the official shape without a download.

It generates noise and takes as long over it as the published model takes over speech, which is what
a benchmark needs. The ids are the published ones; of the vocabulary only the bytes and the control
tokens are there.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from spark_mlx import backends
from spark_mlx.backends import Backend
from spark_mlx.checkpoints.model_config import Fingerprints, ModelConfig
from spark_mlx.checkpoints.quantization import DTYPES, convert_dtype, quantize
from spark_mlx.codec import Codec
from spark_mlx.diagnostics.random_tokenizer import FIRST_ADDED, added_tokens, byte_tokenizer
from spark_mlx.diagnostics.random_weights import fill
from spark_mlx.errors import ConfigError
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.model.bicodec.bicodec import BiCodec
from spark_mlx.model.bicodec.feature_encoder import EncoderConfig
from spark_mlx.model.bicodec.prenet import PrenetConfig
from spark_mlx.model.bicodec.quantizers import QuantizerConfig
from spark_mlx.model.bicodec.semantic_encoder import SemanticEncoder
from spark_mlx.model.bicodec.speaker_encoder import SpeakerConfig
from spark_mlx.model.bicodec.wave_generator import WaveGeneratorConfig
from spark_mlx.model.mel import MelConfig
from spark_mlx.model.qwen2 import LMConfig, Qwen2
from spark_mlx.model.wav2vec2 import Wav2Vec2Config
from spark_mlx.tts import SparkTTS
from spark_mlx.version import FORMAT_VERSION

Shape = Literal["full", "tiny"]
Module = TypeVar("Module", bound=nn.Module)

# SparkAudio/Spark-TTS-0.5B, as its configuration files have it.
FULL = ModelConfig(
    format_version=FORMAT_VERSION,
    fingerprint=Fingerprints("random", "random", "random"),
    dtype="float32",
    quantize=None,
    sample_rate=16_000,
    reference_seconds=6,
    level_reference=True,
    lm=LMConfig(
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        vocab_size=166_000,
        max_position_embeddings=32_768,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        tie_word_embeddings=True,
    ),
    mel=MelConfig(
        sample_rate=16_000,
        n_fft=1024,
        win_length=640,
        hop_length=320,
        mel_fmin=10,
        mel_fmax=None,
        num_mels=128,
    ),
    speaker_encoder=SpeakerConfig(
        input_dim=128, out_dim=1024, latent_dim=128, token_num=32, fsq_levels=(4,) * 6
    ),
    quantizer=QuantizerConfig(input_dim=1024, codebook_size=8192, codebook_dim=8),
    prenet=PrenetConfig(
        input_channels=1024,
        vocos_dim=384,
        vocos_intermediate_dim=2048,
        vocos_num_layers=12,
        out_channels=1024,
        condition_dim=1024,
        sample_ratios=(1, 1),
        use_tanh_at_final=False,
    ),
    wave_generator=WaveGeneratorConfig(
        input_channel=1024, channels=1536, rates=(8, 5, 4, 2), kernel_sizes=(16, 11, 8, 4)
    ),
    encoder=EncoderConfig(
        input_channels=1024,
        vocos_dim=384,
        vocos_intermediate_dim=2048,
        vocos_num_layers=12,
        out_channels=1024,
        sample_ratios=(1, 1),
    ),
    wav2vec2=Wav2Vec2Config(
        conv_dim=(512,) * 7,
        conv_kernel=(10, 3, 3, 3, 3, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2),
        hidden_size=1024,
        intermediate_size=4096,
        num_attention_heads=16,
        num_conv_pos_embeddings=128,
        num_conv_pos_embedding_groups=16,
        layer_norm_eps=1e-5,
        mix_layers=(11, 14, 16),
    ),
)

# The same parts, made small; the rates and the codes stay, and with them every length and id.
TINY = dataclasses.replace(
    FULL,
    lm=dataclasses.replace(
        FULL.lm,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    speaker_encoder=dataclasses.replace(
        FULL.speaker_encoder,
        out_dim=64,
        latent_dim=32,
        ecapa_channels=64,
        ecapa_bottleneck=16,
        ecapa_features=96,
        perceiver_heads=2,
    ),
    quantizer=dataclasses.replace(FULL.quantizer, input_dim=64),
    prenet=dataclasses.replace(
        FULL.prenet,
        input_channels=64,
        vocos_dim=48,
        vocos_intermediate_dim=96,
        vocos_num_layers=2,
        out_channels=64,
        condition_dim=64,
    ),
    wave_generator=dataclasses.replace(FULL.wave_generator, input_channel=64, channels=64),
    encoder=dataclasses.replace(
        FULL.encoder,
        input_channels=64,
        vocos_dim=48,
        vocos_intermediate_dim=96,
        vocos_num_layers=2,
        out_channels=64,
    ),
    wav2vec2=dataclasses.replace(
        FULL.wav2vec2,
        conv_dim=(32,) * 7,
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=4,
        mix_layers=(1, 2),
    ),
)

# Most layers add their output to their input: smaller ones keep samples and logits in range.
GAIN = 0.8

SHAPES: dict[str, ModelConfig] = {"full": FULL, "tiny": TINY}


def random_tts(
    shape: Shape = "full", dtype: str = "float32", quantize: int | None = None
) -> SparkTTS:
    """Make a model of random weights, the same one every time.

    Args:
        shape: "full" is the published model's, 2.4 GB in float32; "tiny" is for tests.
        dtype: what the language model computes in, "float32" or "bfloat16".
        quantize: 8 or 4 bits for the language model's weights; None leaves them as they are.

    Raises:
        ConfigError: there is no such shape or dtype.
    """
    if shape not in SHAPES:
        raise ConfigError(f"a random model is {' or '.join(SHAPES)}, not {shape}")
    if dtype not in DTYPES:
        raise ConfigError(f"the model computes in {' or '.join(DTYPES)}, not {dtype}")
    backend = backends.choose()
    config = dataclasses.replace(SHAPES[shape], dtype=dtype, quantize=quantize)
    # The largest first: what its making leaves free serves the others.
    with backend.new_stream():
        lm = _random_lm(config, backend)
    computing = backend.new_stream()
    with computing:
        bicodec = _filled(BiCodec(config.bicodec), backend)

    def open_semantic_encoder() -> SemanticEncoder:
        encoder = SemanticEncoder(config.wav2vec2, config.encoder, config.quantizer)
        return _filled(encoder, backend)

    codec = Codec(config, bicodec, open_semantic_encoder, computing)
    vocabulary = Vocabulary(tokenizer_json(), codec.global_codes, codec.semantic_codes)
    return SparkTTS(config, vocabulary, lm, codec, backend)


def tokenizer_json() -> str:
    """A tokenizer.json with the control tokens under their published ids."""
    codes = math.prod(FULL.speaker_encoder.fsq_levels), FULL.quantizer.codebook_size
    return byte_tokenizer(added_tokens(FIRST_ADDED, *codes))


def _random_lm(config: ModelConfig, backend: Backend) -> LanguageModel:
    lm = Qwen2(config.lm)
    fill(lm, "mlx", GAIN)
    # Nothing is computed yet: a quantised layer is never whole in memory beside the others.
    if config.quantize is not None:
        quantize(lm, config.quantize)
    convert_dtype(lm, config.dtype)
    lm.eval()
    return backend.language_model(lm)


def _filled(module: Module, backend: Backend) -> Module:
    fill(module, "mlx", GAIN)
    backend.accelerate(module)
    return _computed(module)


def _computed(module: Module) -> Module:
    """Compute the parameters one after another, so that little more than they is in memory."""
    for _, parameter in tree_flatten(module.parameters()):
        mx.eval(parameter)
    mx.clear_cache()
    module.eval()  # as loaded weights are: layers for training only are left out
    return module
