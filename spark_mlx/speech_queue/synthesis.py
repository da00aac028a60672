"""Speech for callers who play it themselves: a job → chunks, as they are ready."""

from __future__ import annotations

from spark_mlx.speech import Chunk
from spark_mlx.speech_queue.job import SpeechJob
from spark_mlx.speech_queue.queue import UtteranceQueue
from spark_mlx.text.alignment import Span


class Synthesis:
    """An iterator of chunks of a text, whose sentences are numbered from 0.

    At most ten seconds are synthesized before they are taken. Iterating raises GenerationError and
    the like where the text cannot be spoken. Any thread may `close` it, which ends the iteration.
    """

    def __init__(self, job: SpeechJob, queue: UtteranceQueue) -> None:
        self._job = job
        self._queue = queue

    def __iter__(self) -> Synthesis:
        return self

    def __next__(self) -> Chunk:
        while True:
            with self._queue.changed:
                self._queue.changed.wait_for(lambda: self._job.ready or self.over)
                chunk = self.take()
            if chunk is None:
                raise StopIteration
            if len(chunk.samples):
                return chunk

    def __del__(self) -> None:
        self.close()

    @property
    def over(self) -> bool:
        """Whether no chunk will come any more."""
        return self._job.stop.is_set() or (self._job.done and not self._job.ready)

    def take(self) -> Chunk | None:
        """The next chunk, if it is ready; never waits.

        Raises:
            SparkError: the text cannot be spoken, or the model could not be loaded.
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

    def sentence(self, chunk: Chunk) -> Span:
        """The place of a chunk's sentence, of which its span may be a part."""
        found = self._job.source.sentence(chunk.sentence)
        return chunk.span if found is None else found[1]

    def close(self) -> None:
        """Drop the rest."""
        with self._queue.changed:
            self._queue.forget(self._job)
