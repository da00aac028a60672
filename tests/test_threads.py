"""Iterators that run in a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from spark_mlx.pipeline import SparkTTS
from spark_mlx.threads import overlapped


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_items_come_in_order_from_another_thread() -> None:
    def make() -> Iterator[tuple[int, str]]:
        for i in range(1000):
            yield i, threading.current_thread().name

    items = list(overlapped(make))
    assert [i for i, _ in items] == list(range(1000))
    assert {name for _, name in items} == {"spark-mlx ids"}
    assert "spark-mlx ids" not in names()


def test_they_are_made_while_earlier_ones_are_used() -> None:
    made = []

    def make() -> Iterator[int]:
        for i in range(5):
            made.append(i)
            yield i

    items = overlapped(make)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made == [0, 1, 2, 3, 4]
    items.close()  # type: ignore[attr-defined]


def test_closed_early_it_ends() -> None:
    def make() -> Iterator[int]:
        while True:
            time.sleep(0.001)
            yield 1

    items = overlapped(make)
    assert next(items) == 1
    items.close()  # type: ignore[attr-defined]
    assert "spark-mlx ids" not in names()


def test_an_error_comes_after_what_was_made() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = overlapped(make)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


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
