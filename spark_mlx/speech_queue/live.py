"""Speech that plays while its continuation is written: chunks → ears.

A thread of its own makes the chunks, some seconds ahead of what is heard; the thread that calls
feeds the player and can tell what is being heard. All of MLX happens in the one thread, loading
included, for what MLX has begun in a thread it will not go on with in another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from spark_mlx.audio import player
from spark_mlx.errors import GenerationError
from spark_mlx.generation.prefetch import leave_mlx
from spark_mlx.generation.stream_decoder import Chunk
from spark_mlx.speech import Sentence, note

# Seconds of speech that are made before they are needed: enough for the slow beginning of the next
# sentence, and little is lost when the listener stops.
AHEAD = 10.0
# Seconds of sound that the player is given before they are heard. It takes more, but waits then,
# and nobody would hear of what is being heard.
FED = 2.0
TICK = 0.04  # seconds between two looks at the player, a frame of film
TAIL = 0.25  # the last seconds, which the player may hold back until it knows of the end

Make = Callable[[threading.Event], Iterable[Chunk]]
Watch = Callable[[Chunk, float], None]


@dataclass(frozen=True)
class Report:
    """How playing went; all times in seconds.

    Attributes:
        loading: until the chunks could begin.
        first: from then to the first samples.
        writing: what making all chunks took, waits for the listener left out.
        duration: of the speech, at its own speed.
        underruns: how often the device had nothing to play.
        waits: how often the player waited for the next samples.
        sentences: what was heard when, in seconds of the speech at its own speed.
        warnings: what went less than well and can be heard.
    """

    loading: float
    first: float
    writing: float
    duration: float
    underruns: int
    waits: int
    sentences: tuple[Sentence, ...]
    warnings: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of speech."""
        return self.writing / self.duration


class Ahead:
    """Chunks that are made in a thread of their own, up to some seconds before they are taken.

    A context manager: leaving it ends the thread, and waits for that.

    Args:
        make: called in the thread; loads what is needed and gives the chunks. The event it gets is
            set when no more chunks are wanted.
        seconds: how much speech may wait to be taken.

    Attributes:
        loading, first, writing: seconds, as in `Report`.
    """

    def __init__(self, make: Make, seconds: float = AHEAD) -> None:
        self.loading = self.first = self.writing = 0.0
        self._make = make
        self._seconds = seconds
        self._ready: deque[Chunk] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._done = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="spark-mlx chunks")

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    @property
    def finished(self) -> bool:
        """Whether every chunk there will ever be was taken."""
        with self._changed:
            return self._done and not self._ready and self._error is None

    def take(self, timeout: float | None = None) -> Chunk | None:
        """The next chunk; None if there is none after `timeout` seconds, or ever.

        Raises:
            Whatever went wrong in the thread, after the chunks from before.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._done, timeout)
            if self._ready:
                self._changed.notify_all()
                return self._ready.popleft()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # not lost: `take` raises it in the other thread
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()
            leave_mlx()

    def _work(self) -> None:
        begun = time.perf_counter()
        chunks = iter(self._make(self._stop))
        self.loading = time.perf_counter() - begun
        while not self._stop.is_set():
            begun = time.perf_counter()
            chunk = next(chunks, None)
            self.writing += time.perf_counter() - begun
            if chunk is None:
                return
            self.first = self.first or self.writing
            self._offer(chunk)

    def _offer(self, chunk: Chunk) -> None:
        """Puts a chunk down, and waits while that is enough for now."""
        with self._changed:
            self._ready.append(chunk)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stop.is_set() or not self._enough())

    def _enough(self) -> bool:
        return bool(self._ready) and self._ready[-1].end - self._ready[0].start >= self._seconds


def play(
    make: Make,
    *,
    device: str | int | None = None,
    volume: float = 1.0,
    rate: float = 1.0,
    ahead: float = AHEAD,
    watch: Watch | None = None,
) -> Report:
    """Plays chunks while the next ones are made, and returns when the sound has ended.

    Ctrl-C, like any error, stops the sound at once, and then the thread that makes the chunks.

        def make(stop):
            tts = spark_mlx.load()  # here: the model belongs to the thread that loads it
            return tts.stream("Hello.", stop=stop)

        live.play(make)

    Args:
        make: gives the chunks, in a thread of its own; ends early when the event it gets is set.
        device, volume, rate: of the `player.Player`.
        ahead: seconds of speech that may be made before they are played.
        watch: told, some 25 times a second, which chunk is being heard, and how many seconds of
            the speech have been. It learns of every chunk.

    Raises:
        PlaybackError: there is no such device, or it fails.
        GenerationError: there was nothing to hear.
        Whatever `make` and its chunks raise.
    """
    found: dict[int, Sentence] = {}
    warnings: list[str] = []

    with Ahead(make, ahead) as chunks:

        def following(timeout: float | None) -> Chunk | None:
            """The next chunk with samples."""
            while (chunk := chunks.take(timeout)) is not None:
                note(found, chunk)
                if chunk.warning:
                    warnings.append(chunk.warning)
                if len(chunk.samples):
                    return chunk
            return None

        chunk = following(None)
        if chunk is None:
            what = warnings[0] if warnings else "no sound"
            raise GenerationError(f"the model gave {what}; try another seed or wording")
        with player.Player(chunk.sample_rate, device=device, volume=volume, rate=rate) as out:
            audience = _Audience(watch)
            fed, tail = FED * max(1.0, rate), TAIL * max(1.0, rate)
            written = 0.0
            while chunk is not None or not chunks.finished:
                while chunk is not None and written - out.position < fed:
                    out.write(chunk.samples)
                    audience.expect(chunk)
                    written = chunk.end
                    chunk = following(0)
                audience.tell(out.position)
                if chunk is None:
                    chunk = following(TICK)
                else:
                    time.sleep(TICK)
            latest = time.monotonic() + (written - out.position) / rate
            while out.position < written - tail and time.monotonic() < latest:
                audience.tell(out.position)
                time.sleep(TICK)
            out.drain()
            audience.tell(written)
            counts = out.underruns, out.waits
    times = chunks.loading, chunks.first, chunks.writing
    return Report(*times, written, *counts, tuple(found.values()), tuple(warnings))


class _Audience:
    """Knows which of the chunks that were written is being heard."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch
        self._unheard: deque[Chunk] = deque()

    def expect(self, chunk: Chunk) -> None:
        self._unheard.append(chunk)

    def tell(self, position: float) -> None:
        if self._watch is None:
            self._unheard.clear()
            return
        while self._unheard and self._unheard[0].start <= position:
            self._watch(self._unheard[0], min(position, self._unheard[0].end))
            if self._unheard[0].end > position:
                return
            self._unheard.popleft()
