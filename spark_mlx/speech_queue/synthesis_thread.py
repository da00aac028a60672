"""The thread that uses the model: jobs → chunks, the most urgent job first.

A model is used in the thread that loaded it, so this thread loads it too. A job gives way to a
more urgent one after each chunk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from spark_mlx import voices
from spark_mlx.errors import SparkError
from spark_mlx.speech import Chunk
from spark_mlx.speech_queue.job import SpeechJob
from spark_mlx.speech_queue.queue import UtteranceQueue
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

log = logging.getLogger(__name__)


class SynthesisThread:
    """Load a model in a thread of its own and work on the queue's jobs there.

    Args:
        load: gives the model.
        voice: of jobs that name none: a voice, or what gives one once the model is loaded.

    Attributes:
        loading: seconds that loading took, the voice included.
    """

    def __init__(
        self,
        queue: UtteranceQueue,
        load: Callable[[], SparkTTS],
        voice: Voice | Callable[[SparkTTS], Voice],
    ) -> None:
        self.loading = 0.0
        self._queue = queue
        self._load = load
        self._voice = voice
        self._running: dict[threading.Event, Iterator[Chunk]] = {}
        self._thread = threading.Thread(target=self._run, name="spark-mlx synthesis", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Wait for the thread, which ends when the queue is closed: within the time of one code,
        but not before a model that is being loaded is there."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._running.clear()  # so that the iterators end in this thread

    def _work(self) -> None:
        begun = time.perf_counter()
        try:
            tts = self._load()
            voice = self._voice if isinstance(self._voice, Voice) else self._voice(tts)
        except Exception as error:  # reported to every caller: they would wait for ever
            self._fail(error)
            return
        self.loading = time.perf_counter() - begun
        queue = self._queue
        with queue.changed:
            queue.sample_rate = tts.sample_rate
            queue.changed.notify_all()
        while (job := self._next_job()) is not None:
            self._step(tts, voice, job)
            if job.notify is not None:
                job.notify()

    def _next_job(self) -> SpeechJob | None:
        """Wait for the most urgent job; None when the queue is closed."""
        queue = self._queue
        while True:
            # Streams that were broken off end here, without the lock: generation ends with them.
            for stop in [stop for stop in self._running if stop.is_set()]:
                del self._running[stop]
            with queue.changed:
                if queue.closed:
                    return None
                if (job := queue.pick()) is not None:
                    return job
                if not any(stop.is_set() for stop in self._running):
                    queue.changed.wait()

    def _step(self, tts: SparkTTS, voice: Voice, job: SpeechJob) -> None:
        """Add one chunk to a job, or its end."""
        with self._queue.changed:
            stop, character = job.stop, job.character
        if stop not in self._running:
            self._running[stop] = job.source.chunks(tts, job.voice or voice, character, stop)
        begun = time.perf_counter()
        chunk, failure = None, None
        try:
            chunk = next(self._running[stop], None)
        except SparkError as error:
            failure = error
        except Exception as error:  # one text must not end all others
            log.exception("a text could not be spoken")
            failure = SparkError(f"a text could not be spoken ({type(error).__name__}: {error})")
            failure.__cause__ = error
        if chunk is None:
            del self._running[stop]
        with self._queue.changed:
            if job.stop is stop and not stop.is_set():
                job.work += time.perf_counter() - begun
                job.error = failure
                job.done = chunk is None
                if chunk is not None:
                    job.first = job.first or job.work
                    job.ready.append(chunk)
            self._queue.changed.notify_all()

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, SparkError):
            log.exception("the model could not be loaded")
            failure = SparkError(f"the model could not be loaded ({type(error).__name__}: {error})")
            failure.__cause__ = error
        else:
            failure = error
        with self._queue.changed:
            self._queue.failure = failure
            waiting = list(self._queue.syntheses)
            for job in waiting:
                job.error, job.done = failure, True
            self._queue.changed.notify_all()
        for job in waiting:
            if job.notify is not None:
                job.notify()


def default_voice(tts: SparkTTS) -> Voice:
    """The voice of callers who choose none: the default voice, else one that the model makes up."""
    return voices.default(tts.codec.fingerprint) or tts.create_voice()
