"""A job of the synthesis thread: a text → chunks, some seconds before they are needed.

Its `ready` is the only buffer between the thread that synthesizes and the one that plays or takes.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from spark_mlx.errors import SparkError
from spark_mlx.generation import pauses
from spark_mlx.generation.sampling import Sampling
from spark_mlx.speech import Chunk
from spark_mlx.text.alignment import Span
from spark_mlx.text.script import Script
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

# A stream of the caller's own: called in the synthesis thread with the loaded model and an event
# that is set when the rest is not wanted.
MakeChunks = Callable[[SparkTTS, threading.Event], Iterable[Chunk]]


class Source(Protocol):
    """Speech that can be begun at a character of its text.

    Attributes:
        text: what is spoken; "" where it is not known beforehand.
        start: the character to begin at.
    """

    text: str
    start: int

    def sentence(self, number: int) -> tuple[int, Span] | None:
        """Number and place of a sentence, as `Script.sentence`."""

    def chunks(
        self, tts: SparkTTS, voice: Voice, character: int, stop: threading.Event
    ) -> Iterator[Chunk]:
        """Speech from a character on."""


class ScriptSource:
    """A text of any length, spoken passage by passage.

    Args:
        sampling, seed: as of `SparkTTS.stream`.
    """

    def __init__(self, script: Script, sampling: Sampling, seed: int) -> None:
        self.text = script.text
        self.start = script.start
        self.sentence = script.sentence
        self._script = script
        self._sampling = dataclasses.asdict(sampling)
        self._seed = seed

    def chunks(
        self, tts: SparkTTS, voice: Voice, character: int, stop: threading.Event
    ) -> Iterator[Chunk]:
        script, rate = self._script, tts.sample_rate
        join = pauses.Joiner(rate)
        spoken = 0  # samples
        pieces = 0
        before: Chunk | None = None
        for passage in script.passages(character):
            stream = tts.stream(
                script.text[passage.start : passage.end],
                voice,
                **self._sampling,
                seed=self._seed,
                stop=stop,
                first_piece=pieces,
            )
            for chunk in stream:
                start, end = (passage.start + place for place in chunk.span)
                silence = join.before(chunk.samples)
                if len(silence) and before is not None:
                    yield dataclasses.replace(
                        before, samples=silence, start=spoken / rate, pause=True, warning=""
                    )
                    spoken += len(silence)
                before = dataclasses.replace(
                    chunk,
                    start=spoken / rate,
                    sentence=script.number_at(start),
                    span=(start, end),
                )
                yield before
                spoken += len(chunk.samples)
            if stop.is_set():
                return
            pieces = 0 if before is None else before.piece + 1
            join.end(passage.boundary)


class StreamSource:
    """A stream of chunks that the caller makes. It can be begun only at its beginning."""

    text = ""
    start = 0

    def __init__(self, make: MakeChunks) -> None:
        self._make = make

    def sentence(self, number: int) -> None:
        """The sentences of a stream are known by its chunks alone."""
        return

    def chunks(
        self, tts: SparkTTS, voice: Voice, character: int, stop: threading.Event
    ) -> Iterator[Chunk]:
        return iter(self._make(tts, stop))


class SpeechJob:
    """Speech in the making. Guarded by the queue's condition.

    Args:
        voice: None for the synthesis thread's own.
        notify: called after every step of the work, in the synthesis thread.

    Attributes:
        ready: chunks that were not taken yet.
        done: whether `ready` holds the last chunk.
        error: what ended it early.
        stop: set when the rest is not wanted.
        first: seconds of work up to the first samples.
        work: seconds of work in all.
    """

    def __init__(
        self, source: Source, voice: Voice | None, notify: Callable[[], None] | None = None
    ) -> None:
        self.source = source
        self.voice = voice
        self.notify = notify
        self.ready: deque[Chunk] = deque()
        self.stop = threading.Event()
        self.first = self.work = 0.0
        self.restart(source.start)

    def restart(self, character: int) -> None:
        """Drop the chunks that are ready, and begin anew at a character."""
        self.stop.set()
        self.stop = threading.Event()
        self.character = character
        self.ready.clear()
        self.done = False
        self.error: SparkError | None = None

    @property
    def seconds(self) -> float:
        """How much speech is ready."""
        return sum(seconds(chunk) for chunk in self.ready)


def seconds(chunk: Chunk) -> float:
    """Length of a chunk."""
    return len(chunk.samples) / chunk.sample_rate
