"""Speech as it is made, for someone who plays it himself: a text → samples and their places."""

from __future__ import annotations

from spark_mlx.audio.files import Samples
from spark_mlx.speech_queue.queue import Queue
from spark_mlx.speech_queue.synthesis_thread import Job, Stretch
from spark_mlx.text.alignment import Span


class Synthesis:
    """Speech as it is made, for someone who plays it himself: an iterator of samples (N,) float32
    at the model's rate, the span of their sentence in the text, and its number.

    At most ten seconds are made before they are taken. Iterating raises GenerationError and the
    like where a text cannot be spoken.
    """

    def __init__(self, job: Job, queue: Queue) -> None:
        self._job = job
        self._queue = queue

    def __iter__(self) -> Synthesis:
        return self

    def __next__(self) -> tuple[Samples, Span, int]:
        while True:
            with self._queue.changed:
                self._queue.changed.wait_for(lambda: self._job.ready or self.over)
                stretch = self.take()
                if stretch is None:
                    raise StopIteration
            if len(stretch.samples):
                return stretch.samples, self.span(stretch), stretch.sentence

    def __del__(self) -> None:
        self.close()

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._job.stop.is_set() or (self._job.done and not self._job.ready)

    def take(self) -> Stretch | None:
        """What comes next, if it is there; never waits.

        Raises:
            SparkError: the text cannot be spoken.
        """
        with self._queue.changed:
            if self._job.stop.is_set():
                return None
            if self._job.ready:
                self._queue.changed.notify_all()
                return self._job.ready.popleft()
            if self._job.done:
                error = self._job.error
                self._queue.forget(self._job)
                if error is not None:
                    raise error
            return None

    def span(self, stretch: Stretch) -> Span:
        """The place of a stretch's sentence."""
        found = self._job.script.sentence(stretch.sentence)
        return (0, 0) if found is None else found[1]

    def close(self) -> None:
        """Nobody wants the rest."""
        with self._queue.changed:
            self._queue.forget(self._job)
            self._queue.changed.notify_all()
