"""The generator: cache, cut head, quantised layers."""

import mlx.core as mx
import numpy as np
import pytest

from spark_mlx.backends.cpu import native
from spark_mlx.checkpoints.quantization import describe, quantize, settle
from spark_mlx.model.qwen2 import KVCache, LMConfig, Qwen2

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
def test_cache_changes_nothing(lm: Qwen2, chunks: tuple[int, ...]) -> None:
    whole = lm(ids(12))
    cache = lm.make_cache()
    parts, start = [], 0
    for size in chunks:
        parts.append(lm(ids(12)[:, start : start + size], cache))
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
def test_cut_head_gives_the_full_heads_logits(lm: Qwen2, bits: int | None) -> None:
    if bits is not None:
        quantize(lm, bits)
    rows = (5, 80, 6)
    hidden = lm.hidden(lm.embed(ids(4)), lm.make_cache())[:, -1]
    full = lm(ids(4))[:, -1]
    embedded = lm.head(rows).embed(mx.array([2, 0]))
    assert np.abs(np.array(embedded[:, 0] - lm.embed(mx.array([6, 5])))).max() < 1e-6
    assert np.abs(np.array(lm.head(rows)(hidden) - full[:, mx.array(rows)])).max() < 1e-5


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
    settled = settle(lm)
    assert describe(settled).startswith("float32, by MLX, because the native extension")
    assert not hasattr(settled.layers[0].self_attn.q_proj, "scales")
    assert np.abs(np.array(settled(ids(6)) - before)).max() < 1e-4
    assert not settled.training
