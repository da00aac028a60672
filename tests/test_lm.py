"""The generator: cache, cut head, quantised layers."""

import mlx.core as mx
import numpy as np
import pytest

from spark_mlx.backends import Backend
from spark_mlx.backends.cpu import native
from spark_mlx.backends.cpu.backend import CPUBackend
from spark_mlx.backends.mlx import MLXBackend
from spark_mlx.checkpoints.quantization import convert_dtype, quantize
from spark_mlx.model.qwen2 import KVCache, LMConfig, Qwen2, causal

CONFIG = LMConfig(
    hidden_size=128,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=96,
    max_position_embeddings=1024,
    rms_norm_eps=1e-6,
    rope_theta=1e4,
    tie_word_embeddings=True,
)


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def lm(request: pytest.FixtureRequest) -> Qwen2:
    mx.random.seed(0)
    config = {**CONFIG.to_dict(), "tie_word_embeddings": request.param}
    return Qwen2(LMConfig.from_dict(config, "test"))


def ids(count: int) -> mx.array:
    return mx.array([[(7 * i * i + 3) % CONFIG.vocab_size for i in range(count)]])


@pytest.mark.parametrize("chunks", [(1,) * 12, (5, 1, 6), (11, 1)])
def test_cache_changes_nothing(lm: Qwen2, backend: Backend, chunks: tuple[int, ...]) -> None:
    whole = lm(ids(12))
    fitted = backend.language_model(lm)
    cache = fitted.make_cache()
    parts, start = [], 0
    for size in chunks:
        parts.append(fitted(ids(12)[:, start : start + size], cache))
        start += size
    assert np.abs(np.array(mx.concatenate(parts, axis=1) - whole)).max() < 1e-5


def test_cache_grows_past_a_block() -> None:
    cache = KVCache()
    rows = mx.arange(600, dtype=mx.float32).reshape(1, 1, 600, 1)
    for start, end in ((0, 255), (255, 256), (256, 257), (257, 600)):
        keys, values = cache.append(rows[:, :, start:end], -rows[:, :, start:end])
    assert cache.length == 600
    assert mx.array_equal(keys, rows)
    assert mx.array_equal(values, -rows)


@pytest.mark.parametrize("bits", [None, 8, 4])
def test_cut_head_gives_the_full_heads_logits(
    lm: Qwen2, backend: Backend, bits: int | None
) -> None:
    if bits is not None:
        quantize(lm, bits)
    rows = (5, 80, 6)
    full, embedded = lm(ids(4))[:, -1], lm.embed(mx.array([6, 5]))
    fitted = backend.language_model(lm)
    head = fitted.head(rows)
    assert np.abs(np.array(head.embed(mx.array([2, 0]))[:, 0] - embedded)).max() < 1e-6
    logits = fitted.logits(fitted.embed(ids(4)), fitted.make_cache(), head)
    assert np.abs(np.array(logits - full[:, mx.array(rows)])).max() < 1e-5


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("fit", [False, True])
def test_a_mask_is_honoured(lm: Qwen2, length: int, fit: bool) -> None:
    if fit:
        CPUBackend().accelerate(lm)
    del lm.layers[1:]  # later layers would hear of a hidden token from those between
    before, other = ids(8), mx.array(ids(8))
    other[:, 3] = 95
    seen = mx.tril(mx.ones((length, 8 + length), mx.bool_), 8)
    hiding = mx.array(seen)
    hiding[:, 3] = False

    def after(first: mx.array, mask: mx.array) -> np.ndarray:
        cache = lm.make_cache()
        lm.hidden(lm.embed(first), cache, causal(8))
        return np.array(lm.hidden(lm.embed(ids(length)), cache, mask))

    assert not np.array_equal(after(before, seen), after(other, seen))
    np.testing.assert_array_equal(after(before, hiding), after(other, hiding))


def test_causal_is_the_mask_of_earlier_tokens(lm: Qwen2) -> None:
    for fit in (False, True):
        if fit:
            CPUBackend().accelerate(lm)
        x = lm.embed(ids(6))
        lower = lm.hidden(x, lm.make_cache(), mx.tril(mx.ones((6, 6), mx.bool_)))
        named = lm.hidden(x, lm.make_cache(), causal(6))
        assert np.abs(np.array(lower - named)).max() < 1e-5
        assert np.abs(np.array(named - lm.hidden(x, lm.make_cache(), None))).max() > 1e-3


def test_quantised_layers_stay_near(lm: Qwen2) -> None:
    before = lm(ids(6))
    quantize(lm, 8)
    # Rows of 96 do not divide into groups of 64.
    assert not hasattr(lm.layers[0].mlp.down_proj, "scales")
    assert hasattr(lm.layers[0].mlp.up_proj, "scales")
    difference = np.abs(np.array(lm(ids(6)) - before)).max()
    assert 0 < difference < 0.05


def test_bfloat16_stays_near(lm: Qwen2) -> None:
    before = lm(ids(6))
    lm.set_dtype(mx.bfloat16)
    after = lm(ids(6))
    assert after.dtype == mx.bfloat16
    assert np.abs(np.array(after.astype(mx.float32) - before)).max() < 0.1


@pytest.mark.parametrize("bits", [8, 4])
def test_without_native_code_quantised_layers_are_unpacked_on_a_cpu(
    lm: Qwen2, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_extension", None)
    quantize(lm, bits)
    before = lm(ids(6))
    fitted = CPUBackend().language_model(lm)
    assert fitted.computes_in.startswith("float32, by MLX, because the native extension")
    assert not hasattr(lm.layers[0].self_attn.q_proj, "scales")
    assert np.abs(np.array(fitted(ids(6)) - before)).max() < 1e-4


@pytest.mark.parametrize(
    ("dtype", "bits", "said"),
    [
        ("float32", None, "float32"),
        ("bfloat16", 8, "8 bit, bfloat16"),
        ("bfloat16", None, "bfloat16"),
    ],
)
def test_plain_mlx_says_what_it_computes_in(
    lm: Qwen2, dtype: str, bits: int | None, said: str
) -> None:
    if bits is not None:
        quantize(lm, bits)
    convert_dtype(lm, dtype)
    assert MLXBackend().language_model(lm).computes_in == said
