"""Threads: iterators that run ahead in one, and models that are used in any."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spark_mlx
from conftest import BACKENDS, ROOT, on_each_backend
from spark_mlx.backends.cpu import native
from spark_mlx.generation.prefetch import InTurn, Prefetch
from spark_mlx.tts import SparkTTS

THREAD = "spark-mlx generation"


def test_items_come_in_order_from_another_thread() -> None:
    def make() -> Iterator[tuple[int, str]]:
        for i in range(1000):
            yield i, threading.current_thread().name

    with Prefetch(make) as items:
        made = list(items)
    assert [i for i, _ in made] == list(range(1000))
    assert {name for _, name in made} == {THREAD}
    with InTurn(make) as in_turn:
        assert list(in_turn) == [(i, threading.current_thread().name) for i in range(1000)]


def test_one_thread_serves_all_in_turn() -> None:
    order: list[str] = []
    begin = threading.Event()

    def make(name: str) -> Iterator[str]:
        assert begin.wait(5)
        for _ in range(50):
            order.append(name)
            yield threading.current_thread().name

    with Prefetch(lambda: make("a")) as a, Prefetch(lambda: make("b")) as b:
        begin.set()
        assert {*a, *b} == {THREAD}
    # Neither waits for the end of the other.
    assert sorted(order[10:20]) == ["a"] * 5 + ["b"] * 5
    names = [thread.name for thread in threading.enumerate()]
    assert names.count(THREAD) == 1


def counted(made: list[int], count: int) -> Iterator[int]:
    for i in range(count):
        made.append(i)
        yield i


def soon(made: list[int], count: int) -> bool:
    """Whether so many are made within seconds."""
    deadline = time.monotonic() + 5
    while len(made) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(made) == count


def test_they_are_made_while_earlier_ones_are_used() -> None:
    made: list[int] = []
    with Prefetch(lambda: counted(made, 5)) as items:
        assert next(iter(items)) == 0
        with items.sharing():
            assert soon(made, 5)


def test_the_thread_waits_while_it_is_held() -> None:
    made: list[int] = []
    started, begin = threading.Event(), threading.Event()

    def make() -> Iterator[int]:
        started.set()
        assert begin.wait(5)
        yield from counted(made, 5)

    with Prefetch(make) as items:
        assert started.wait(5)
        with items.holding():
            begin.set()
            assert next(iter(items)) == 0
            time.sleep(0.2)
            assert made == [0]
        assert soon(made, 5)


def test_left_early_it_ends() -> None:
    closed = threading.Event()

    def make() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with Prefetch(make) as items:
        assert next(iter(items)) == 1
    assert closed.wait(5)


def test_an_error_comes_after_what_was_made() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with Prefetch(make) as items:
        taken = iter(items)
        assert next(taken) == 1
        with pytest.raises(ValueError, match="no more"):
            next(taken)


def test_products_are_the_same_aside_and_beside() -> None:
    """Threads that compute aside, together with others whose loops leave them a core."""
    import mlx.core as mx

    random = np.random.default_rng(0)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((96, 700), (700, 512)))
    wrong: list[str] = []

    def work(aside: bool) -> None:
        for _ in range(200):
            with native.reserve_core() if aside else contextlib.nullcontext():
                product = np.array(mx.array(a) @ mx.array(b))
            if not np.allclose(product, a @ b, rtol=1e-3, atol=1e-3):
                wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_a_stream_is_the_same_with_and_without(
    tts: SparkTTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    def streamed(prefetch: Callable[..., Any]) -> list[np.ndarray]:
        monkeypatch.setattr(type(tts.backend), "prefetch", lambda _, make: prefetch(make))
        return [chunk.samples for chunk in tts.stream("One. Two, three!", tts.create_voice(seed=1))]

    alone, together = streamed(InTurn), streamed(Prefetch)
    assert len(alone) == len(together) > 1
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


# Models in threads.


def native_threads() -> int:
    """The threads of this process, those of libraries included."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def in_thread(work: Callable[[], Any]) -> Any:
    """What `work()` gives or raises in a thread of its own."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(120)
    (result,) = found
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.mark.parametrize("name", BACKENDS)
def test_a_model_works_in_any_thread(
    model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded here; used in A, in B, in both at once, here, and after all of them."""
    monkeypatch.setattr("spark_mlx.generation.checks.max_tokens", lambda *_: 40)
    monkeypatch.setenv("SPARK_MLX_BACKEND", name)
    tts = spark_mlx.load(model)
    clip = (np.sin(np.arange(32_000) * 0.05).astype(np.float32), 16_000)

    def use() -> list[np.ndarray]:
        voice = tts.create_voice(seed=1)
        return [
            tts.say("One.\nTwo!", voice).samples,
            np.concatenate([chunk.samples for chunk in tts.stream("Three.", voice)]),
            np.array(tts.clone(clip, "a transcript").semantic_tokens),
        ]

    found = [in_thread(use), in_thread(use)]
    with ThreadPoolExecutor(2) as pool:
        found += pool.map(lambda _: use(), range(2))
    found += [use(), in_thread(use)]
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_model_loaded_in_a_thread_that_ended(
    model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_MLX_BACKEND", name)
    tts = in_thread(lambda: spark_mlx.load(model))
    voice = in_thread(lambda: tts.create_voice(seed=1))
    assert len(tts.say("One.", voice).samples)


@on_each_backend
def test_a_stream_may_be_taken_in_several_threads(tts: SparkTTS) -> None:
    voice = tts.create_voice(seed=1)
    text = "The first sentence. And the second one."
    expected = [chunk.samples for chunk in tts.stream(text, voice)]
    chunks = tts.stream(text, voice)
    for samples in expected:
        np.testing.assert_array_equal(in_thread(lambda: next(chunks)).samples, samples)


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads by /proc")
@on_each_backend
def test_streams_leave_no_thread_behind(tts: SparkTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = tts.create_voice(seed=1)
    monkeypatch.setattr("spark_mlx.generation.checks.max_tokens", lambda *_: 12)

    def whole() -> None:
        assert list(tts.stream("Yes.", voice))

    def broken_off() -> None:
        assert next(tts.stream("Yes.", voice, look_ahead=0))

    for work in (whole, broken_off):
        in_thread(work)
        work()
    gc.collect()
    before = native_threads()
    for i in range(100):
        for work in (whole, broken_off):
            if i % 4:
                work()
            else:
                in_thread(work)
    gc.collect()
    deadline = time.monotonic() + 5  # a thread that was joined may still be ending
    while native_threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert native_threads() <= before


FORK = """
import os, sys
import spark_mlx
from spark_mlx.errors import SparkError
tts = spark_mlx.load(sys.argv[1])
voice = tts.create_voice(seed=1)
list(tts.stream("Yes.", voice))
child = os.fork()
if child == 0:
    said = []
    for use in (
        lambda: tts.say("Yes.", voice),
        lambda: list(tts.stream("Yes.", voice)),
        lambda: tts.create_voice(seed=2),
        lambda: tts.codec.decode(voice.global_tokens, [1, 2, 3]),
        lambda: spark_mlx.load(sys.argv[1]),
    ):
        try:
            use()
        except SparkError as error:
            said.append(str(error))
    print(len(said), *said, sep="\\n", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(len(tts.say("Yes.", voice).samples) > 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("name", BACKENDS)
def test_a_forked_child_is_told_what_to_do(model: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(model)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT / "tests",
        env={**os.environ, "SPARK_MLX_BACKEND": name},
    )
    assert done.returncode == 0, done.stderr
    count, *said, parent = done.stdout.splitlines()
    assert (count, parent) == ("5", "True")
    assert all("spawn" in line for line in said)
