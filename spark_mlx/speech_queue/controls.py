"""Control a speech queue: stop, pause, skip, read its status, set rate and volume."""

from __future__ import annotations

from collections import deque
from typing import Any

from spark_mlx import voices
from spark_mlx.audio import player
from spark_mlx.errors import SparkError
from spark_mlx.speech_queue.playback_thread import PlaybackThread
from spark_mlx.speech_queue.queue import UtteranceQueue


class QueueControls:
    """The controls of `SpeechQueue`. Any thread may call its methods."""

    def __init__(self, queue: UtteranceQueue, playback: PlaybackThread) -> None:
        self._queue = queue
        self._playback = playback

    def stop(self, utterance: int | None = None) -> None:
        """Fall silent within a tenth of a second and empty the queue; or end one utterance, if it
        is not over yet."""
        with self._queue.changed:
            waiting = [
                queued for queued in list(self._queue.utterances)[1:] if queued.number == utterance
            ]
            for queued in waiting:
                self._queue.end(queued, "stopped")
        if waiting:
            return
        with self._playback.silence():
            if utterance is None:
                self._playback.pause(False)
            for queued in list(self._queue.utterances):
                if utterance is None or queued.number == utterance:
                    self._queue.end(queued, "stopped")

    def pause(self) -> None:
        """Hold the speech where it is. `say(now=True)`, `stop` and `resume` end it."""
        self._playback.pause(True)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._playback.pause(False)

    def skip(self, sentences: int) -> None:
        """Go on at another sentence of this utterance: 1 is the next, 0 this one again, -1 the
        one before. Past the last one the utterance ends; before the first one it begins anew."""
        with self._playback.silence():
            if not self._queue.utterances:
                return
            queued = self._queue.utterances[0]
            found = queued.job.source.sentence(queued.at + sentences)
            if found is None:
                self._queue.end(queued, "end")
                return
            number, span = found
            ready = list(queued.job.ready)
            first = next((i for i, chunk in enumerate(ready) if chunk.sentence == number), None)
            # `ready` begins with the first chunk of a sentence.
            if first is None:
                queued.job.restart(span[0])
            else:
                queued.job.ready = deque(ready[first:])
            queued.at = number

    def status(self) -> dict[str, Any]:
        """What it does: `speaking`, `paused`, `utterance`, `sentence`, `span`, `queued` (texts,
        this one included), `ahead` (seconds of speech that are synthesized), `rate`, `volume`,
        `loaded`, `sample_rate` (Hz, 0 before that), `underruns` and `waits` (of the player)."""
        with self._queue.changed:
            queued = self._queue.utterances[0] if self._queue.utterances else None
            place = None if queued is None else queued.job.source.sentence(queued.at)
            underruns, waits = self._playback.counts()
            return {
                "speaking": queued is not None and not self._playback.paused,
                "paused": self._playback.paused,
                "utterance": None if queued is None else int(queued.number),
                "sentence": None if queued is None else queued.at,
                "span": None if place is None else list(place[1]),
                "queued": len(self._queue.utterances),
                "ahead": round(sum(one.ahead for one in self._queue.utterances), 2),
                "rate": self._queue.rate,
                "volume": self._playback.volume,
                "loaded": self._queue.sample_rate > 0,
                "sample_rate": self._queue.sample_rate,
                "underruns": underruns,
                "waits": waits,
            }

    def voices(self) -> list[str]:
        """The names that `say` takes as a voice."""
        return voices.names()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that was queued has been heard; False if it took longer (seconds)."""
        with self._queue.changed:
            return self._queue.changed.wait_for(lambda: not self._queue.utterances, timeout)

    def wait_loaded(self) -> None:
        """Wait until the model is loaded.

        Raises:
            SparkError: it could not be.
        """
        shared = self._queue
        with shared.changed:
            shared.changed.wait_for(
                lambda: shared.sample_rate or shared.failure is not None or shared.closed
            )
            if shared.failure is not None:
                raise shared.failure

    @property
    def failure(self) -> SparkError | None:
        """Why the model could not be loaded; None while it may be."""
        return self._queue.failure

    @property
    def rate(self) -> float:
        """The tempo, 0.5 to 3: 1 is the model's own. May be set at any time."""
        return self._queue.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._queue.rate = player.checked_rate(rate)

    @property
    def volume(self) -> float:
        """A factor, 0 to 4: 1 is the model's own. May be set at any time."""
        return self._playback.volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._playback.volume = player.checked_volume(volume)
