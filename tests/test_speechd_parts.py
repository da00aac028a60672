"""The parts of the screen reader's module by themselves, with a stand-in that makes the sound."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import AtMost
from spark_mlx.errors import DaemonError, GenerationError, SparkError
from spark_mlx.speechd.clip_maker import ClipMaker
from spark_mlx.speechd.clips import Clips
from spark_mlx.speechd.message import Message
from spark_mlx.speechd.message_speaker import MessageSpeaker
from spark_mlx.speechd.module import Module
from spark_mlx.speechd.output import ServerOutput
from spark_mlx.speechd.protocol import Wire
from spark_mlx.speechd.settings import Options, Settings
from spark_mlx.speechd.source import Sound, Sources
from spark_mlx.speechd.ssml import parse
from speechd_stand import Event, read_event, sound

RATE = 16_000


class Pipe:
    """A wire into a pipe that somebody reads."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.wire = Wire(self.read, self.write)
        self.stream = os.fdopen(self.read, "rb")

    def events(self, *until: int) -> list[Event]:
        found: list[Event] = []
        while not found or found[-1].code not in until:
            event = read_event(self.stream.readline)
            assert event is not None
            found.append(event)
        return found

    def close(self) -> None:
        os.close(self.write)
        self.stream.close()


class Made:
    """A tenth of a second of sound for each character; or nothing, until it is closed."""

    def __init__(self, text: str, error: SparkError | None, mute: bool) -> None:
        self.stopped = threading.Event()
        self._text = text
        self._error = error
        self._mute = mute

    def __iter__(self) -> Iterator[Sound]:
        if self._mute:
            self.stopped.wait()
        for i, char in enumerate(self._text):
            if self.stopped.is_set():
                return
            if self._error is not None and i == len(self._text) // 2:
                raise self._error
            yield Sound(np.full(RATE // 10, 1000 + ord(char), np.int16), RATE, (i, i + 1), i)

    def close(self) -> None:
        self.stopped.set()


class Maker:
    """A source of such speech."""

    failure: SparkError | None = None

    def __init__(self, error: SparkError | None = None, mute: bool = False) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.speeches: list[Made] = []
        self.error = error
        self.mute = mute
        self.came = threading.Semaphore(0)

    def speak(self, text: str, voice: str | None) -> Made:
        error, self.error = self.error, None
        self.asked.append((text, voice))
        self.speeches.append(Made(text, error, self.mute))
        self.came.release()
        return self.speeches[-1]


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def message(pipe: Pipe, text: str, maker: Maker, clips: Clips | None = None) -> Message:
    output = ServerOutput(pipe.wire)
    return Message(parse(text), Settings(), "alice", clips, lambda: maker, output)


def spoken(pipe: Pipe, text: str, maker: Maker, clips: Clips | None = None) -> list[Event]:
    MessageSpeaker(pipe.wire, lambda: None).start(message(pipe, text, maker, clips))
    return pipe.events(702, 703, 704)


def heard(events: list[Event]) -> str:
    """What the maker was given, by its sound."""
    return "".join(chr(value - 1000) for value in sound(events)[:: RATE // 10])


def test_lines_of_two_threads_never_mix(pipe: Pipe) -> None:
    samples = np.arange(50_000, dtype=np.int16)  # more than a pipe holds

    def play() -> None:
        for _ in range(20):
            pipe.wire.audio(samples, RATE)

    threads = [threading.Thread(target=play)]
    threads += [
        threading.Thread(target=pipe.wire.reply, args=("200-x" * 3000, "200 OK")) for _ in range(9)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # the first one is stuck in the middle, since nobody reads
    events = [pipe.events(200, 705)[-1] for _ in range(29)]
    for thread in threads:
        thread.join()
    assert sorted(event.code for event in events) == [200] * 9 + [705] * 20
    # Somebody waits for the answers, and so they go first.
    assert [event.code for event in events[:10]] == [705] + [200] * 9
    pipe.close()


def test_a_stop_ends_a_wait_for_the_model(pipe: Pipe, at_most: AtMost) -> None:
    maker = Maker(mute=True)
    speaker = MessageSpeaker(pipe.wire, lambda: None)
    speaker.start(message(pipe, "Hello", maker))
    assert maker.came.acquire(timeout=10)
    asked = time.perf_counter()
    speaker.stop()
    events = pipe.events(702, 703)
    assert [event.code for event in events] == [701, 703]
    at_most(events[-1].time - asked, 0.2)
    assert maker.speeches[0].stopped.is_set()
    pipe.close()


def test_an_error_ends_a_message_and_not_the_next(pipe: Pipe) -> None:
    maker = Maker(GenerationError("no sound"))
    events = spoken(pipe, "abcdef", maker)
    assert (events[-1].code, heard(events)) == (703, "abc")
    events = spoken(pipe, "xyz", maker)
    assert (events[-1].code, heard(events)) == (702, "xyz")
    pipe.close()


def test_after_the_daemon_the_sentence_begins_again(pipe: Pipe) -> None:
    maker = Maker(DaemonError("gone"))
    events = spoken(pipe, '<speak>abc<mark name="m"/>def<mark name="n"/></speak>', maker)
    assert maker.asked == [("abcdef", "alice"), ("cdef", "alice")]
    assert (events[-1].code, heard(events)) == (702, "abccdef")
    assert [event.text for event in events if event.code == 700] == ["m", "n"]
    pipe.close()


def test_a_short_text_is_made_once(pipe: Pipe, tmp_path: Path) -> None:
    maker = Maker()
    clips = Clips(tmp_path / "clips")
    first = spoken(pipe, "OK", maker, clips)
    again = spoken(pipe, " OK ", maker, clips)
    assert heard(first) == heard(again) == "OK"
    assert len(maker.asked) == 1
    assert not (tmp_path / "clips").exists()  # what a user types stays in memory
    pipe.close()


class Failing(Sources):
    """Sources with a mistake in them."""

    def folder(self) -> None:
        return None

    def failure(self) -> None:
        raise ZeroDivisionError


def test_a_mistake_of_ours_does_not_silence_the_user(pipe: Pipe) -> None:
    commands, write = os.pipe()
    os.write(write, b"INIT\nSPEAK\nHello\n.\nLIST VOICES\nQUIT\n")
    os.close(write)
    wire = Wire(commands, pipe.write)
    options = Options(daemon=False, clips=False, model="/nowhere/at/all")
    thread = threading.Thread(target=Module(wire, options, Failing(options.model, False)).run)
    thread.start()
    codes = [event.code for event in pipe.events(210)]
    thread.join()
    os.close(commands)
    assert codes == [299, 202, 401, 200, 210]
    pipe.close()


def test_rehearsing_gives_way_and_goes_on(tmp_path: Path) -> None:
    maker = Maker(mute=True)
    clip_maker = ClipMaker(lambda: maker)
    clips = Clips(tmp_path / "clips")
    clip_maker.want(clips, "alice", "en")
    assert maker.came.acquire(timeout=10)
    assert not maker.speeches[0].stopped.is_set()
    clip_maker.hold()
    assert maker.speeches[0].stopped.wait(0.2)
    assert not maker.came.acquire(timeout=0.3)
    maker.mute = False
    clip_maker.go_on()
    assert maker.came.acquire(timeout=10)
    assert maker.asked[:2] == [("A", "alice"), ("A", "alice")]
    latest = time.monotonic() + 40
    # On the disk, where a clip is a moment later than in memory.
    while Clips(tmp_path / "clips").get("space") is None:
        assert time.monotonic() < latest
        time.sleep(0.05)
    clip_maker.hold()
