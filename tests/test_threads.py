"""Iterators that run in a thread of their own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from spark_mlx.backends.cpu import native
from spark_mlx.generation.prefetch import Ahead, InTurn, leave_mlx
from spark_mlx.tts import SparkTTS


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_items_come_in_order_from_another_thread() -> None:
    def make() -> Iterator[tuple[int, str]]:
        for i in range(1000):
            yield i, threading.current_thread().name

    with Ahead(make) as items:
        made = list(items)
    assert [i for i, _ in made] == list(range(1000))
    assert {name for _, name in made} == {"spark-mlx ids"}
    assert "spark-mlx ids" not in names()
    with InTurn(make) as in_turn:
        assert list(in_turn) == [(i, threading.current_thread().name) for i in range(1000)]


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
    with Ahead(lambda: counted(made, 5)) as items:
        assert next(iter(items)) == 0
        with items.sharing():
            assert soon(made, 5)


def test_the_thread_waits_while_it_is_held() -> None:
    made: list[int] = []
    begin = threading.Event()

    def make() -> Iterator[int]:
        assert begin.wait(5)
        yield from counted(made, 5)

    with Ahead(make) as items:
        with items.holding():
            begin.set()
            assert next(iter(items)) == 0
            time.sleep(0.2)
            assert made == [0]
        assert soon(made, 5)


def test_left_early_it_ends() -> None:
    def make() -> Iterator[int]:
        while True:
            time.sleep(0.001)
            yield 1

    with Ahead(make) as items, items.holding():
        assert next(iter(items)) == 1
    assert "spark-mlx ids" not in names()


def test_an_error_comes_after_what_was_made() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with Ahead(make) as items:
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
        leave_mlx()

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_a_stream_is_the_same_with_and_without(
    tts: SparkTTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    def streamed(in_any_thread: bool) -> list[np.ndarray]:
        monkeypatch.setattr(type(tts.lm), "in_any_thread", in_any_thread)
        return [chunk.samples for chunk in tts.stream("One. Two, three!", tts.create_voice(seed=1))]

    if not tts.lm.in_any_thread:
        pytest.skip("the language model runs in MLX here")
    alone, together = streamed(False), streamed(True)
    assert len(alone) == len(together) > 1
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)
