"""Chunks made ahead in a thread of their own, and played without a gap."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import player_stand
from conftest import ROOT
from player_stand import Stand
from spark_mlx.errors import GenerationError, TextError
from spark_mlx.generation.stream_decoder import Chunk
from spark_mlx.speech import sentences
from spark_mlx.speech_queue import live
from spark_mlx.speech_queue.live import Ahead
from spark_mlx.tts import SparkTTS, load

RATE = 1000
Output = pytest.CaptureFixture[str]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Stand]:
    return player_stand.install(monkeypatch)


def chunk(i: int, seconds: float = 1.0, *, warning: str = "", pause: bool = False) -> Chunk:
    samples = np.full(int(seconds * RATE), i, dtype=np.float32)
    return Chunk(samples, RATE, float(i), i, i, f"s{i}", (3 * i, 3 * i + 2), "s", pause, warning)


def made(count: int, log: list[int]) -> live.Make:
    def make(stop: threading.Event) -> Iterator[Chunk]:
        for i in range(count):
            log.append(i)
            yield chunk(i)

    return make


def wait_until(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < latest
        time.sleep(0.005)


def test_only_so_much_is_made_ahead() -> None:
    log: list[int] = []
    with Ahead(made(50, log), seconds=3) as ahead:
        wait_until(lambda: len(log) == 3)
        time.sleep(0.05)
        assert len(log) == 3
        assert ahead.take() is not None
        wait_until(lambda: len(log) == 4)
        time.sleep(0.05)
        assert len(log) == 4
    assert "spark-mlx chunks" not in [thread.name for thread in threading.enumerate()]


def test_every_chunk_is_given_once() -> None:
    with Ahead(made(50, []), seconds=3) as ahead:
        taken = [ahead.take() for _ in range(50)]
        assert [c.piece for c in taken if c is not None] == list(range(50))
        assert ahead.take() is None
        assert ahead.finished


def test_nothing_there_yet() -> None:
    go = threading.Event()

    def make(stop: threading.Event) -> Iterator[Chunk]:
        go.wait(10)
        yield chunk(0)

    with Ahead(make) as ahead:
        assert ahead.take(0.01) is None
        assert not ahead.finished
        go.set()
        assert ahead.take() is not None


def failing(stop: threading.Event) -> Iterator[Chunk]:
    yield chunk(0)
    raise TextError("no more")


def test_an_error_comes_after_the_chunks() -> None:
    with pytest.raises(TextError, match="no more"), Ahead(failing) as ahead:
        assert ahead.take() is not None
        assert not ahead.finished
        ahead.take()


def test_an_error_stops_the_sound(opened: list[Stand]) -> None:
    with pytest.raises(TextError, match="no more"):
        live.play(failing)
    assert all(one.events == ["open", "stop"] for one in opened)


def test_play(opened: list[Stand]) -> None:
    heard: list[tuple[int, float]] = []
    report = live.play(
        made(9, []), device="x", volume=0.5, rate=2, watch=lambda c, at: heard.append((c.piece, at))
    )
    (out,) = opened
    assert (out.device, out.volume, out.rate) == ("x", 0.5, 2)
    assert out.events == ["open", "close"]
    assert np.array_equal(np.concatenate(out.blocks), np.repeat(np.arange(9), RATE))
    assert heard == sorted(heard)
    assert {piece for piece, _ in heard} == set(range(9))
    assert heard[-1] == (8, 9.0)
    assert report.duration == 9
    assert [s.text for s in report.sentences] == [f"s{i}" for i in range(9)]
    assert (report.sentences[4].start, report.sentences[4].end) == (4, 5)
    assert report.real_time_factor == report.writing / 9


def test_the_next_sentence_is_made_while_one_is_heard(opened: list[Stand]) -> None:
    log: list[int] = []
    lead: list[int] = []
    live.play(made(30, log), watch=lambda c, _: lead.append(len(log) - c.piece))
    # Ten seconds wait to be taken, and two have been taken and wait to be heard.
    assert max(lead) <= 15
    assert np.median(lead) >= 9


def test_the_player_is_not_filled_up(opened: list[Stand]) -> None:
    waiting: list[float] = []
    live.play(made(20, []), watch=lambda *_: waiting.append(opened[0].written - opened[0].position))
    assert max(waiting) <= live.FED + 1


def test_ctrl_c_stops_sound_and_thread(opened: list[Stand]) -> None:
    stopped: list[threading.Event] = []

    def make(stop: threading.Event) -> Iterator[Chunk]:
        stopped.append(stop)
        return map(chunk, range(1000))

    def watch(chunk: Chunk, position: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live.play(make, watch=watch)
    assert opened[0].events == ["open", "stop"]
    assert stopped[0].is_set()
    assert "spark-mlx chunks" not in [thread.name for thread in threading.enumerate()]


def test_warnings_are_reported(opened: list[Stand]) -> None:
    report = live.play(
        lambda _: [chunk(0, warning="hoarse"), chunk(1), chunk(1, 0, warning="mute")]
    )
    assert report.warnings == ("hoarse", "mute")
    assert len(opened[0].blocks) == 2


@pytest.mark.parametrize(
    ("chunks", "complaint"), [([], "no sound"), ([chunk(0, 0, warning="silence")], "silence")]
)
def test_nothing_to_hear(opened: list[Stand], chunks: list[Chunk], complaint: str) -> None:
    with pytest.raises(GenerationError, match=complaint):
        live.play(lambda _: chunks)
    assert opened == []


def test_the_example_of_the_documentation(
    model: Path, opened: list[Stand], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("SPARK_MLX_MODEL", str(model))
    page = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})
    *shown, report = capsys.readouterr().out.splitlines()
    assert set(shown) == {"Sound comes before the end is known."}
    assert report.endswith(" 0 0")
    assert opened[0].rate == 1.2


def test_a_model_in_the_thread_says_the_same(
    tts: SparkTTS, model: Path, opened: list[Stand]
) -> None:
    text = "One sentence that is said.\n\nAnother one, which is said after it."
    expected = list(tts.stream(text, seed=3))

    def make(stop: threading.Event) -> Iterator[Chunk]:
        return load(model).stream(text, seed=3, stop=stop)

    report = live.play(make)
    joined = np.concatenate([chunk.samples for chunk in expected])
    assert np.array_equal(np.concatenate(opened[0].blocks), joined)
    assert report.sentences == sentences(expected)
    assert report.loading > 0
    assert 0 < report.first <= report.writing
