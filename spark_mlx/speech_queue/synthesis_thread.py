"""The one thread that calls MLX: jobs, a text each → stretches of speech, the most urgent first.

MLX wants a model to be used in the thread that loaded it, so the thread loads it too. A job is
worked on by one chunk at a time; whoever wants a text at once waits for one chunk at most.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.errors import SparkError
from spark_mlx.generation import pauses
from spark_mlx.generation.prefetch import leave_mlx
from spark_mlx.text.script import Script
from spark_mlx.text.segmentation import Boundary
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some samples of one sentence.

    Attributes:
        samples: float32 (N,); none where there is only a warning.
        seconds: how long they are.
        sentence: the number of their sentence in the script.
        warning: what can be heard to be wrong, or "".
    """

    samples: Samples
    seconds: float
    sentence: int
    warning: str = ""


class Job:
    """A text that becomes speech, some seconds before it is taken.

    Everything here is guarded by the worker's condition.

    Args:
        notify: called after every step of the work, in the worker's thread.

    Attributes:
        script, voice: what is said, and in which voice; None for the worker's own.
        ready: stretches that nobody has taken yet.
        done: whether no more will come.
        error: what ended it early.
        stop: set when nobody wants the rest.
    """

    def __init__(
        self, script: Script, voice: Voice | None, notify: Callable[[], None] | None = None
    ) -> None:
        self.script = script
        self.voice = voice
        self.notify = notify
        self.ready: deque[Stretch] = deque()
        self.stop = threading.Event()
        self.restart(script.start)

    def restart(self, character: int) -> None:
        """Forgets what is ready, and begins anew at a character."""
        self.stop.set()
        self.stop = threading.Event()
        self.character = character
        self.ready.clear()
        self.done = False
        self.error: SparkError | None = None

    @property
    def seconds(self) -> float:
        """How much speech is ready."""
        return sum(stretch.seconds for stretch in self.ready)


class Worker:
    """Loads a model in a thread of its own and works on jobs there.

    Args:
        load: gives the model.
        voice: of jobs that name none; None for one that the model makes up.
        pick: called with `changed` held; the job to go on with, or None.
        changed: notified after every step.
    """

    def __init__(
        self,
        load: Callable[[], SparkTTS],
        voice: Voice | None,
        pick: Callable[[], Job | None],
        changed: threading.Condition,
    ) -> None:
        self.sample_rate = 0  # Hz; 0 until the model is loaded
        self.failure: SparkError | None = None
        self._load = load
        self._voice = voice
        self._pick = pick
        self._changed = changed
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="spark-mlx worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Ends the thread; it leaves a job within the time of one code, but not a loading model."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._work()
        finally:
            leave_mlx()

    def _work(self) -> None:
        try:
            tts = self._load()
            voice = self._voice or tts.create_voice()
        except Exception as error:  # told to whoever waits; a lost one would leave them waiting
            self._fail(error)
            return
        with self._changed:
            self.sample_rate = tts.sample_rate
            self._changed.notify_all()
        # Kept here, so that they also end in this thread.
        running: dict[threading.Event, Iterator[Stretch]] = {}
        while True:
            with self._changed:
                job = None
                while job is None and not self._closed:
                    job = self._pick()
                    if job is None:
                        self._changed.wait()
                if job is None or self._closed:
                    return
                stop = job.stop
                start = job.character, job.script, job.voice or voice
            if stop not in running:
                for over in [event for event in running if event.is_set()]:
                    del running[over]
                running[stop] = stretches(tts, *start, stop)
            stretch, failure = None, None
            try:
                stretch = next(running[stop], None)
            except SparkError as error:
                failure = error
            except Exception as error:  # one text must not end all others
                log.exception("a text could not be spoken")
                failure = SparkError(
                    f"a text could not be spoken ({type(error).__name__}: {error})"
                )
            if stretch is None:
                del running[stop]
            with self._changed:
                if job.stop is stop and not stop.is_set():
                    job.error = failure
                    job.done = stretch is None
                    if stretch is not None:
                        job.ready.append(stretch)
                self._changed.notify_all()
            if job.notify is not None:
                job.notify()

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, SparkError):
            log.exception("the model could not be loaded")
            error = SparkError(f"the model could not be loaded ({type(error).__name__}: {error})")
        with self._changed:
            self.failure = error
            self._changed.notify_all()


def stretches(
    tts: SparkTTS, character: int, script: Script, voice: Voice, stop: threading.Event
) -> Iterator[Stretch]:
    """The speech of a script from a character on, with pauses between its passages."""
    rate = tts.sample_rate
    kept = int(pauses.LONGEST * rate)
    tail = np.zeros(0, dtype=np.float32)
    boundary: Boundary | None = None
    number = 0
    for passage in script.passages(character):
        if stop.is_set():
            return
        for chunk in tts.stream(script.text[passage.start : passage.end], voice, stop=stop):
            if boundary is not None and len(chunk.samples):
                silence = pauses.pause(tail, chunk.samples, boundary, rate)
                yield Stretch(silence, len(silence) / rate, number)
                boundary = None
            number = script.number_at(passage.start + chunk.span[0])
            yield Stretch(chunk.samples, len(chunk.samples) / rate, number, chunk.warning)
            tail = np.concatenate([tail, chunk.samples])[-kept:]
        if len(tail):
            boundary = passage.boundary
