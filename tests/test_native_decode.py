"""The native decode step: MLX's logits and ids, by every kernel, in every precision."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_unflatten

from spark_mlx.backends.cpu import native
from spark_mlx.backends.cpu.backend import CPUBackend
from spark_mlx.backends.cpu.qwen2 import Matrix, NativeHead, NativeQwen2, obstacle
from spark_mlx.checkpoints.quantization import convert_dtype, quantize
from spark_mlx.diagnostics.random_model import SHAPES, random_tts
from spark_mlx.generation.generate import Stage, generate, generate_batch
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.plain_lm import PlainLM
from spark_mlx.generation.sampling import Draws, Sampling, sample
from spark_mlx.model.qwen2 import LMConfig, Qwen2

pytestmark = pytest.mark.skipif(native.layers() is None, reason="the native extension is not there")

KERNELS = ["plain", "AVX2", "AVX-512"]
# Of logits up to 20, which differ by rounding alone.
CLOSE = 3e-4
GREEDY = Sampling(temperature=0)

# hidden, intermediate, layers, heads, kv heads, vocabulary, positions, eps, theta, tied
SIZES: dict[str, tuple[Any, ...]] = {
    "small": (128, 192, 2, 4, 2, 96, 4096, 1e-6, 1e4, True),
    "many heads to one": (320, 448, 2, 20, 1, 130, 4096, 1e-6, 1e6, True),
    "untied": (64, 128, 3, 2, 2, 97, 4096, 1e-5, 1e4, False),
    "no width divides into groups": (84, 50, 2, 6, 3, 35, 4096, 1e-6, 1e4, True),
    "one width does": (64, 100, 1, 1, 1, 33, 4096, 1e-6, 1e4, False),
}


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kernel that this CPU can run."""
    yield from use(request.param)


def use(name: str) -> Iterator[str]:
    layers = native.layers()
    assert layers is not None
    usual = layers.kernel()
    if not layers.use_kernel(name):
        pytest.skip("this CPU has no such vectors")
    yield name
    layers.use_kernel(usual)


def made(size: str, bits: int) -> Qwen2:
    """A model with random weights, and logits far enough apart that rounding turns no draw."""
    mx.random.seed(1)
    lm = Qwen2(LMConfig(*SIZES[size]))
    for name, parameter in tree_flatten(lm.parameters()):
        if "layers" in name and parameter.ndim > 1:
            parameter = 4 * parameter
        if "embed" in name or name.endswith("bias"):
            parameter = 0.3 * mx.random.normal(parameter.shape)
        lm.update(tree_unflatten([(name, parameter)]))
    if bits < 32:
        quantize(lm, bits)
    mx.eval(lm.parameters())
    return lm


def fit(lm: Qwen2, dtype: str = "float32") -> LanguageModel:
    convert_dtype(lm, dtype)
    return CPUBackend().language_model(lm)


def pair(size: str, bits: int) -> tuple[NativeQwen2, PlainLM]:
    """The same model, computed natively and by MLX with float32 weights."""
    ours = fit(made(size, bits))
    assert isinstance(ours, NativeQwen2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "_extension", None)
        theirs = fit(made(size, bits))
    assert isinstance(theirs, PlainLM)
    return ours, theirs


def ids(count: int, vocabulary: int = 33) -> mx.array:
    return mx.array([[(7 * i * i + 3 * i) % vocabulary for i in range(count)]])


def difference(a: mx.array, b: mx.array) -> float:
    assert a.shape == b.shape
    return float(np.abs(np.array(a) - np.array(b)).max())


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("size", SIZES)
def test_logits_are_those_of_mlx(size: str, bits: int) -> None:
    ours, theirs = pair(size, bits)
    expected = theirs(ids(70))
    assert float(mx.abs(expected).max()) > 1
    assert difference(ours(ids(70)), expected) < CLOSE
    cache = ours.make_cache()
    steps = [ours(ids(70)[:, :9], cache)]
    steps += [ours(ids(70)[:, i : i + 1], cache) for i in range(9, 66)]
    steps.append(ours(ids(70)[:, 66:], cache))
    assert difference(mx.concatenate(steps, axis=1), expected) < CLOSE
    candidates = (5, 30, 6, 1, 2)
    head = ours.head(candidates)
    cut = ours.logits(ours.embed(ids(70)), ours.make_cache(), head)
    assert difference(cut, expected[:, -1, mx.array(candidates)]) < CLOSE
    assert difference(head.embed(mx.array([2]))[0], ours.embed(mx.array([[6]]))[0]) < 1e-6


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("size", ["small", "many heads to one", "untied"])
def test_greedy_ids_are_those_of_mlx(size: str, bits: int) -> None:
    answers = [
        list(generate(lm, [1, 2, 3], [Stage(range(90), 200)], GREEDY, mx.random.key(0)))
        for lm in pair(size, bits)
    ]
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 50


@pytest.mark.usefixtures("kernel")
def test_three_thousand_positions() -> None:
    ours, theirs = pair("small", 8)
    mine, other = ours.make_cache(), theirs.make_cache()
    long = ids(3000)
    for lm, cache in ((ours, mine), (theirs, other)):
        lm(long[:, :2990], cache)
    for i in range(2990, 3000):
        step = long[:, i : i + 1]
        assert difference(ours(step, mine), theirs(step, other)) < CLOSE


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 9, 13, 40])
def test_products(rows: int, bits: int) -> None:
    for out, width in ((32, 64), (33, 128), (7, 576), (100, 1088), (1, 64)):
        linear = nn.Linear(width, out, bias=False)
        layer = linear if bits == 32 else linear.to_quantized(64, bits)
        x = mx.random.normal((rows, width), key=mx.random.key(rows))
        unpacked = linear.weight
        if bits < 32:
            unpacked = mx.dequantize(layer.weight, layer.scales, layer.biases, 64, bits)
        expected = np.array(x, np.float64) @ np.array(unpacked, np.float64).T
        assert np.abs(np.array(Matrix(layer)(x)) - expected).max() < 2e-5


STAGES = [Stage(range(20, 90), count, end=95, at_least=2) for count in (300, 40, 7, 1)]
PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15, 16]]


@pytest.mark.parametrize("bits", [32, 8])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(), Sampling(1.0, 0, 1.0)])
def test_alone_together_and_by_mlx(sampling: Sampling, bits: int) -> None:
    ours, theirs = pair("small", bits)
    keys = [mx.random.key(i) for i in range(len(PROMPTS))]
    together: list[list[int]] = [[] for _ in PROMPTS]
    for stream, id_ in generate_batch(ours, PROMPTS, STAGES, sampling, keys):
        together[stream].append(id_)

    def alone(lm: LanguageModel) -> list[list[int]]:
        return [
            list(generate(lm, prompt, [stage], sampling, key))
            for prompt, stage, key in zip(PROMPTS, STAGES, keys, strict=True)
        ]

    assert together == alone(ours) == alone(theirs)
    assert [len(answer) for answer in together][2:] == [7, 1]


def test_forced_ids_between_draws() -> None:
    stages = [Stage(range(50), 1, forced=(20, 30)), Stage(range(90), 20, forced=(60, 61, 62))]
    answers = [list(generate(lm, [1], stages, GREEDY, mx.random.key(0))) for lm in pair("small", 8)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 21


def test_two_threads_share_a_model() -> None:
    lm, _ = pair("small", 8)

    def answer(prompt: list[int]) -> list[int]:
        return list(generate(lm, prompt, [Stage(range(90), 200)], GREEDY, mx.random.key(0)))

    alone = [answer(prompt) for prompt in PROMPTS]
    found: list[list[int]] = [[] for _ in PROMPTS]

    def work(i: int) -> None:
        with mx.stream(mx.new_stream(mx.cpu)):
            found[i] = answer(PROMPTS[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        Sampling(),
        Sampling(1.3, 0, 0.5),
        Sampling(0.5, 7, 1.0),
        Sampling(1.0, 1000, 0.9),
        Sampling(1.0, 1, 0.9),
    ],
    ids=repr,
)
def test_draws_are_those_of_mlx(sampling: Sampling, seed: int) -> None:
    logits = 3 * mx.random.normal((2, 700), key=mx.random.key(seed))
    draws = [Draws(mx.random.key(seed)), Draws(mx.random.key(seed + 100))]
    candidates = mx.arange(1000, 1700)
    embedding = nn.Embedding(1700, 4)
    native_head = NativeHead(embedding, embedding, candidates)
    for step in (0, 1, 63, 64, 4000):
        keys = mx.stack([draw.key(step) for draw in draws])
        drawn, x = native_head.draw(logits, sampling, draws, step)
        assert drawn.tolist() == candidates[sample(logits, sampling, keys)].tolist()
        assert mx.array_equal(x, embedding(drawn)[:, None])


# When it is not used.


def test_what_it_cannot_compute_goes_to_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Qwen2(LMConfig(54, 64, 1, 2, 1, 33, 64, 1e-6, 1e4, True))
    assert obstacle(odd) == "a head of 27 channels is odd or wider than 256"
    wide = Qwen2(LMConfig(640, 64, 1, 2, 1, 33, 64, 1e-6, 1e4, True))
    assert "320" in str(obstacle(wide))
    few = made("small", 32)
    nn.quantize(few, group_size=32, bits=8)
    assert "groups of 32" in str(obstacle(few))
    unshared = Qwen2(LMConfig(64, 64, 1, 4, 3, 33, 64, 1e-6, 1e4, True))
    assert obstacle(unshared) == "3 heads cannot be shared by 4"
    undivided = Qwen2(LMConfig(66, 64, 1, 4, 2, 33, 64, 1e-6, 1e4, True))
    assert obstacle(undivided) == "4 heads do not divide 66 channels"
    for lm in (odd, wide, few, unshared, undivided):
        assert isinstance(fit(lm), PlainLM)
    assert "bfloat16, by MLX" in fit(made("small", 32), "bfloat16").computes_in


def test_it_says_what_it_computes_with() -> None:
    for bits, name in ((32, "float32"), (8, "8 bit"), (4, "4 bit")):
        assert fit(made("small", bits)).computes_in == f"{name}, by native code"


# The random models that the benchmark measures.


def compare(shape: str, bits: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits within 1e-3 of MLX's and the same 200 ids, greedily."""
    ours = random_tts(shape, quantize=bits).lm  # type: ignore[arg-type]
    assert isinstance(ours, NativeQwen2)
    with monkeypatch.context() as patch:
        patch.setattr(native, "_extension", None)
        theirs = random_tts(shape, quantize=bits).lm  # type: ignore[arg-type]
    speech = range(155_761, 155_761 + 8192)
    prompt = list(range(165_137, 165_143)) + list(range(151_665, 151_725))
    stage = Stage(speech, 200)
    expected = list(generate(theirs, prompt, [stage], GREEDY, mx.random.key(0)))
    fed = mx.array([[*prompt, *expected[:-1]]])
    assert isinstance(theirs, PlainLM)
    hidden = theirs.model.hidden(theirs.embed(fed), theirs.make_cache(), "causal")
    logits = theirs.head(stage.ids)(hidden)
    for name in KERNELS:
        for _ in use(name):
            assert list(generate(ours, prompt, [stage], GREEDY, mx.random.key(0))) == expected
            cache = ours.make_cache()
            head = ours.head(stage.ids)
            ours.hidden(ours.embed(fed[:, : len(prompt)]), cache)
            for i in range(len(prompt), fed.shape[1]):
                found = ours.logits(ours.embed(fed[:, i : i + 1]), cache, head)
                assert difference(found, logits[:, i]) < 1e-3


@pytest.mark.parametrize("bits", [None, 8, 4])
def test_the_tiny_model(bits: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    compare("tiny", bits, monkeypatch)


@pytest.mark.full
@pytest.mark.parametrize("bits", [None, 8, 4])
def test_the_official_shape(bits: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SHAPES["full"].lm.hidden_size == 896
    compare("full", bits, monkeypatch)
