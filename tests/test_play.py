"""`SpeechQueue.play`: chunks made ahead, played without a gap, and a report of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import player_stand
from conftest import ROOT
from player_stand import Stand
from spark_mlx.errors import GenerationError, SparkError, TextError
from spark_mlx.generation.sampling import Sampling
from spark_mlx.speech import Chunk, sentences
from spark_mlx.speech_queue import playback_thread
from spark_mlx.speech_queue.job import MakeChunks
from spark_mlx.speech_queue.queue import AHEAD
from spark_mlx.speech_queue.report import Report
from spark_mlx.speech_queue.service import SpeechQueue
from spark_mlx.tts import SparkTTS, load

RATE = 1000
Output = pytest.CaptureFixture[str]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Stand]:
    return player_stand.install(monkeypatch)


def chunk(i: int, seconds: float = 1.0, *, warning: str = "", pause: bool = False) -> Chunk:
    samples = np.full(int(seconds * RATE), i, dtype=np.float32)
    return Chunk(samples, RATE, float(i), i, i, f"s{i}", (3 * i, 3 * i + 2), "s", pause, warning)


def made(count: int, log: list[int]) -> MakeChunks:
    def make(tts: SparkTTS, stop: threading.Event) -> Iterator[Chunk]:
        for i in range(count):
            log.append(i)
            yield chunk(i)

    return make


def play(make: MakeChunks, *, device: str | None = None, **options: Any) -> Report:
    """Plays without a model."""
    tts: Any = SimpleNamespace(sample_rate=RATE)
    voice: Any = SimpleNamespace()
    with SpeechQueue(lambda: tts, voice=lambda _: voice, device=device) as speech:
        return speech.play(make, **options)


def wait_until(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < latest
        time.sleep(0.005)


def failing(tts: SparkTTS, stop: threading.Event) -> Iterator[Chunk]:
    yield chunk(0)
    raise TextError("no more")


def test_an_error_comes_after_the_chunks(opened: list[Stand]) -> None:
    heard: list[int] = []
    before = set(threading.enumerate())
    with pytest.raises(TextError, match="no more"):
        play(failing, watch=lambda chunk, _: heard.append(chunk.piece))
    assert heard == [0]
    assert set(threading.enumerate()) <= before


def test_a_foreign_error_keeps_its_cause(opened: list[Stand]) -> None:
    def make(tts: SparkTTS, stop: threading.Event) -> Iterator[Chunk]:
        yield chunk(0)
        raise ZeroDivisionError("oops")

    with pytest.raises(SparkError, match="ZeroDivisionError: oops") as failed:
        play(make)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_play(opened: list[Stand]) -> None:
    heard: list[tuple[int, float]] = []
    report = play(
        made(9, []), device="x", rate=2, watch=lambda c, at: heard.append((c.piece, round(at, 6)))
    )
    (out,) = opened
    assert (out.device, out.rate) == ("x", 2)
    assert out.events == ["open", "close"]
    assert np.array_equal(np.concatenate(out.blocks), np.repeat(np.arange(9), RATE))
    assert heard == [(i, i) for i in range(9)]
    assert report.duration == 9
    assert [s.text for s in report.sentences] == [f"s{i}" for i in range(9)]
    assert (report.sentences[4].start, report.sentences[4].end) == (4, 5)
    assert report.real_time_factor == report.writing / 9


def test_only_so_much_is_made_ahead(opened: list[Stand]) -> None:
    log: list[int] = []
    lead: list[int] = []
    play(made(30, log), watch=lambda c, _: lead.append(len(log) - c.piece))
    # Ten seconds are made before they are heard, and a chunk is made whole.
    assert max(lead) <= AHEAD + 2
    assert np.median(lead) >= AHEAD - 1


def test_the_player_is_not_filled_up(opened: list[Stand]) -> None:
    waiting: list[float] = []
    play(made(20, []), watch=lambda *_: waiting.append(opened[0].written - opened[0].position))
    assert max(waiting) <= playback_thread.FED + 1


def test_ctrl_c_stops_sound_and_threads(opened: list[Stand]) -> None:
    stopped: list[threading.Event] = []

    def make(tts: SparkTTS, stop: threading.Event) -> Iterator[Chunk]:
        stopped.append(stop)
        return map(chunk, range(1000))

    def watch(chunk: Chunk, position: float) -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        play(make, watch=watch)
    assert opened[0].events == ["open", "stop", "close"]
    assert stopped[0].is_set()
    assert set(threading.enumerate()) <= before


def test_warnings_are_reported(opened: list[Stand]) -> None:
    chunks = [chunk(0, warning="hoarse"), chunk(1), chunk(1, 0, warning="mute")]
    assert play(lambda *_: chunks).warnings == ("hoarse", "mute")
    assert len(opened[0].blocks) == 2


@pytest.mark.parametrize(
    ("chunks", "complaint"), [([], "no sound"), ([chunk(0, 0, warning="silence")], "silence")]
)
def test_nothing_to_hear(opened: list[Stand], chunks: list[Chunk], complaint: str) -> None:
    with pytest.raises(GenerationError, match=complaint):
        play(lambda *_: chunks)
    assert all(out.blocks == [] for out in opened)


def test_a_second_text_after_the_first(opened: list[Stand]) -> None:
    tts: Any = SimpleNamespace(sample_rate=RATE)
    voice: Any = SimpleNamespace()
    with SpeechQueue(lambda: tts, voice=lambda _: voice) as speech:
        reports = [speech.play(made(3, [])) for _ in range(2)]
    assert [report.duration for report in reports] == [3, 3]
    assert len(opened) == 1


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


def test_the_same_as_the_stream(tts: SparkTTS, model: Path, opened: list[Stand]) -> None:
    text = "One sentence that is said, and another one that is said after it."
    voice = tts.create_voice(seed=2)
    sampling = Sampling(temperature=0.5)
    expected = list(tts.stream(text, voice, temperature=0.5, seed=3))
    with SpeechQueue(lambda: load(model)) as speech:
        report = speech.play(text, voice=voice, sampling=sampling, seed=3)
    joined = np.concatenate([chunk.samples for chunk in expected])
    assert np.array_equal(np.concatenate(opened[0].blocks), joined)
    assert report.sentences == sentences(expected)
    assert report.loading > 0
    assert 0 < report.first <= report.writing
