"""What the MLX backend puts in place of plain layers gives what they give."""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from conftest import BACKENDS
from spark_mlx import backends
from spark_mlx.backends.mlx.activations import CompiledSnake
from spark_mlx.backends.mlx.backend import STRETCHES, MLXBackend
from spark_mlx.backends.mlx.conv import PhasedConvTranspose1d
from spark_mlx.checkpoints.quantization import convert_dtype, quantize
from spark_mlx.codec import Codec
from spark_mlx.diagnostics.random_model import TINY
from spark_mlx.diagnostics.random_weights import fill
from spark_mlx.errors import ConfigError
from spark_mlx.generation.sampling import likeliest
from spark_mlx.model import layers
from spark_mlx.model.bicodec.bicodec import BiCodec
from spark_mlx.model.qwen2 import LMConfig, Qwen2, causal

VOICE = np.arange(32, dtype=np.int32) * 100


def normal(*shape: int) -> mx.array:
    return mx.array(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


def difference(a: mx.array, b: mx.array) -> float:
    """The largest, relative to the largest value."""
    assert a.shape == b.shape
    return float(mx.abs(a - b).max() / mx.maximum(mx.abs(b).max(), 1))


@pytest.mark.parametrize("frames", [1, 2, 3, 300])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output_padding"),
    [(16, 8, 4, 0), (11, 5, 3, 0), (8, 4, 2, 0), (4, 2, 1, 0), (3, 5, 0, 0), (6, 3, 0, 1)],
)
def test_transposed_convolution(
    frames: int, kernel: int, stride: int, padding: int, output_padding: int
) -> None:
    plain = layers.ConvTranspose1d(24, 12, kernel, stride, padding, output_padding)
    plain.weight, plain.bias = 0.1 * normal(*plain.weight.shape), normal(12)
    x = normal(2, frames, 24)
    assert difference(PhasedConvTranspose1d.from_plain(plain)(x), plain(x)) < 2e-6


def test_snake_of_any_shape() -> None:
    for channels in (1, 7):
        plain = layers.Snake(channels)
        plain.alpha = 0.5 + mx.abs(normal(channels))
        fitted = CompiledSnake.from_plain(plain)
        for frames in (1, 5, 40):
            x = normal(2, frames, channels)
            assert difference(fitted(x), plain(x)) < 1e-6


def made(bits: int | None, width: int = 128) -> Qwen2:
    mx.random.seed(3)
    lm = Qwen2(LMConfig(width, 192, 2, 4, 2, 96, 1024, 1e-6, 1e4, True))
    for layer in lm.layers:
        layer.self_attn.k_proj.bias = normal(width // 2)
    if bits is not None:
        quantize(lm, bits)
    return lm


@pytest.mark.parametrize("bits", [None, 8, 4])
def test_fused_projections(bits: int | None) -> None:
    ids = mx.arange(40)[None]
    plain, fitted = made(bits), MLXBackend().language_model(made(bits))
    names = " ".join(name for name, _ in tree_flatten(fitted.model.parameters()))
    assert "qkv_proj" in names and "gate_up_proj" in names and ".q_proj" not in names
    cache, fused_cache = plain.make_cache(), fitted.make_cache()
    for start, end in ((0, 30), (30, 31), (31, 40)):
        part = ids[:, start:end]
        assert difference(fitted(part, fused_cache), plain(part, cache)) < 1e-5


@pytest.mark.parametrize("bits", [None, 8])
def test_logits_of_bfloat16_are_float32(bits: int | None) -> None:
    lm = made(bits)
    convert_dtype(lm, "bfloat16")
    ids, rows = mx.arange(20)[None], tuple(range(0, 96, 3))
    output = lm.embed_tokens
    weight = output.weight
    if bits is not None:
        packed = (weight, output.scales.astype(mx.float32), output.biases.astype(mx.float32))
        weight = mx.dequantize(*packed, output.group_size, output.bits)
    hidden = lm.hidden(lm.embed(ids), lm.make_cache(), causal(20))[:, -1].astype(mx.float32)
    expected = hidden @ weight.astype(mx.float32)[mx.array(rows)].T
    head = MLXBackend().language_model(lm).head(rows)
    logits = head(hidden.astype(mx.bfloat16))
    assert logits.dtype == mx.float32
    assert difference(logits, expected) < 1e-5
    assert head.embed(mx.array([3])).dtype == mx.bfloat16


@pytest.mark.parametrize("candidates", [40, 64, 65, 700, 8193])
def test_likeliest_in_blocks(candidates: int) -> None:
    logits = normal(3, candidates)
    found = np.sort(np.array(likeliest(logits, 16, block=64)), axis=-1)
    expected = np.sort(np.argsort(-np.array(logits), axis=-1)[:, :16], axis=-1)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def codec() -> Codec:
    """One that a CPU decodes in milliseconds."""
    config = dataclasses.replace(
        TINY, wave_generator=dataclasses.replace(TINY.wave_generator, channels=16)
    )
    backend = MLXBackend()
    bicodec = BiCodec(config.bicodec)
    fill(bicodec, "mlx", 0.8)
    backend.accelerate(bicodec)
    mx.eval(bicodec.parameters())
    return Codec(config, bicodec, lambda: pytest.fail(), backend.new_stream(), backend.stretches)


def test_stretches_change_no_sample(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.random.default_rng(0).integers(0, 8192, 230).tolist()
    windows: list[int] = []
    decode = codec.bicodec.decode

    def watched(voice: mx.array, window: mx.array, start: int, stop: int) -> mx.array:
        windows.append(stop - start)
        return decode(voice, window, start, stop)

    for start, stop in ((0, 230), (0, 75), (0, 5), (10, 21), (100, 229)):
        monkeypatch.setattr(codec, "_stretches", ())
        expected = codec.decode(VOICE, tokens, start, stop)
        monkeypatch.setattr(codec, "_stretches", STRETCHES)
        monkeypatch.setattr(codec.bicodec, "decode", watched)
        found = codec.decode(VOICE, tokens, start, stop)
        monkeypatch.setattr(codec.bicodec, "decode", decode)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5
    assert windows == [128, 64, 32, 16, 64, 16, 5, 16, 128, 16]


def test_memory_stays_flat(codec: Codec) -> None:
    """Of MLX itself, over pieces of many lengths."""
    lengths = np.random.default_rng(0).integers(3, 40, 200).tolist()

    def decode(length: int) -> None:
        codec.decode(VOICE, list(range(length)))

    for length in range(3, 40):
        decode(length)
    active, kept = mx.get_active_memory(), mx.get_cache_memory()
    for length in lengths:
        decode(length)
    assert mx.get_active_memory() <= active + 2**20
    assert mx.get_cache_memory() <= 1.1 * kept


def test_the_variable_chooses_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BACKENDS:
        monkeypatch.setenv(backends.VARIABLE, name)
        assert backends.choose().name == name
    monkeypatch.setenv(backends.VARIABLE, "auto")
    assert backends.choose().name == BACKENDS[0]
    monkeypatch.setenv(backends.VARIABLE, "metal")
    with pytest.raises(ConfigError, match="auto, mlx or cpu, not 'metal'"):
        backends.choose()


def test_a_layer_quantised_in_part_is_not_fused() -> None:
    lm = made(None)
    attention = lm.layers[0].self_attn
    attention.q_proj = attention.q_proj.to_quantized(64, 8)
    MLXBackend().language_model(lm)
    assert isinstance(lm.layers[0].self_attn.q_proj, nn.QuantizedLinear)
    assert not hasattr(lm.layers[1].self_attn, "q_proj")
