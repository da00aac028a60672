"""One utterance after another, spoken aloud in this process: texts → ears, and events.

Three threads beside the callers': the worker makes speech, the mouth gives it to the player a
second before it is heard, and the herald tells who listens. A caller never waits for any of them.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from spark_mlx import voices
from spark_mlx.audio import player
from spark_mlx.errors import SparkError, TextError
from spark_mlx.speech_queue.events import Event, Herald, Utterance
from spark_mlx.speech_queue.playback_thread import Mouth
from spark_mlx.speech_queue.queue import Queue, Said
from spark_mlx.speech_queue.synthesis import Synthesis
from spark_mlx.speech_queue.synthesis_thread import Job, Worker
from spark_mlx.text.script import Script
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

__all__ = ["Event", "Speaker", "Synthesis", "Utterance"]

MOST_QUEUED = 1000  # texts


class Speaker:
    """Speaks texts aloud, one after another; a context manager. `daemon.client.Client` has the
    same methods and speaks through the daemon. Any thread may call them.

        with Speaker(spark_mlx.load) as speaker:
            for event in speaker.say("Hello. How are you?"):
                print(event.kind, event.text)

    Args:
        tts: what loads a model, as `lambda: load("my-model")`; called in the thread that will use
            it, since MLX wants the two to be the same. `say` can be called meanwhile.
        voice: of texts that name none; None for one that the model makes up.
        device: an output device for `Player`; None for the default one.
        rate: see the property.
        volume: see the property.
    """

    def __init__(
        self,
        tts: Callable[[], SparkTTS],
        *,
        voice: Voice | str | None = None,
        device: str | int | None = None,
        rate: float = 1.0,
        volume: float = 1.0,
    ) -> None:
        rate, volume = player.checked_rate(rate), player.checked_volume(volume)
        found = voices.find(voice) if isinstance(voice, str) else voice
        self._numbers = itertools.count(1)
        self._herald = Herald()
        self._queue = Queue(self._herald, rate)
        self._worker = Worker(tts, found, self._queue.pick, self._queue.changed)
        self._mouth = Mouth(self._queue, self._worker, device, volume)
        self._worker.start()
        self._mouth.start()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops at once and lets the device go. `wait` first to hear all that was queued."""
        self.stop()
        with self._queue.changed:
            self._queue.closed = True
            for job in self._queue.syntheses:
                job.stop.set()
            self._queue.changed.notify_all()
        self._mouth.close()
        self._worker.close()
        self._herald.close()

    # What callers say.

    def say(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        now: bool = False,
        start: int = 0,
        rate: float | None = None,
    ) -> Utterance:
        """Queues a text, of any length, and returns at once.

        Args:
            voice: a voice, the name of one, an .npz file; None for the speaker's own.
            now: stop everything else, and speak this at once.
            start: the character of `text` to begin at; `skip` can still go back before it.
            rate: for this utterance; None for the speaker's.

        Returns:
            Its number; iterating over it gives its events.

        Raises:
            TextError: there is nothing to say, or far too much waits already.
            VoiceError: there is no such voice.
            PlaybackError: no speech plays at that rate.
            ModelError: the model could not be loaded.
        """
        if rate is not None:
            player.checked_rate(rate)
        job = self._job(text, voice, start)
        with self._mouth.silence() if now else self._queue.changed:
            if now:
                self._mouth.pause(False)
                for said in list(self._queue.utterances):
                    self._queue.end(said, "stopped")
            if self._queue.closed:
                raise SparkError("the speaker was closed; make another one")
            if len(self._queue.utterances) >= MOST_QUEUED:
                raise TextError(f"{MOST_QUEUED} texts wait already; wait for some, or stop them")
            number = Utterance(next(self._numbers))
            self._herald.expect(number)
            self._queue.utterances.append(Said(number, job, rate))
            self._queue.changed.notify_all()
        return number

    def synthesize(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        notify: Callable[[], None] | None = None,
    ) -> Synthesis:
        """The speech of a text for someone who plays it himself. Works beside `say`.

        Args:
            notify: called, in some thread, when more can be taken or nothing more comes.

        Raises:
            As `say`.
        """
        job = self._job(text, voice, 0, notify)
        with self._queue.changed:
            self._queue.syntheses.append(job)
            self._queue.changed.notify_all()
        return Synthesis(job, self._queue)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Calls `callback` with every event, in a thread of its own, until the function that is
        returned is called."""
        return self._herald.subscribe(callback)

    def stop(self, utterance: int | None = None) -> None:
        """Silence within a tenth of a second, and nothing is left in the queue; or ends only one
        utterance, if it is not over yet."""
        with self._queue.changed:
            waiting = [
                said for said in list(self._queue.utterances)[1:] if said.number == utterance
            ]
            for said in waiting:
                self._queue.end(said, "stopped")
        if waiting:
            return
        with self._mouth.silence():
            if utterance is None:
                self._mouth.pause(False)
            for said in list(self._queue.utterances):
                if utterance is None or said.number == utterance:
                    self._queue.end(said, "stopped")

    def pause(self) -> None:
        """Holds the speech where it is. `say(now=True)`, `stop` and `resume` end it."""
        self._mouth.pause(True)

    def resume(self) -> None:
        """Goes on after `pause`."""
        self._mouth.pause(False)

    def skip(self, sentences: int) -> None:
        """Goes on at another sentence of this utterance: 1 is the next, 0 this one again, -1 the
        one before. Past the last one the utterance ends; before the first one it begins anew."""
        with self._mouth.silence():
            if not self._queue.utterances:
                return
            said = self._queue.utterances[0]
            found = said.job.script.sentence(said.at + sentences)
            if found is None:
                self._queue.end(said, "end")
                return
            number, span = found
            ready = list(said.job.ready)
            first = next((i for i, some in enumerate(ready) if some.sentence == number), None)
            # What is ready begins with the first stretch of a sentence.
            if first is None:
                said.job.restart(span[0])
            else:
                said.job.ready = deque(ready[first:])
            said.at = number

    def status(self) -> dict[str, Any]:
        """What it does: `speaking`, `paused`, `utterance`, `sentence`, `span`, `queued` (texts,
        this one included), `ahead` (seconds of speech that are made), `rate`, `volume`, `loaded`,
        `sample_rate` (Hz, 0 before that), `underruns` and `waits` (of the player)."""
        with self._queue.changed:
            said = self._queue.utterances[0] if self._queue.utterances else None
            place = None if said is None else said.job.script.sentence(said.at)
            out = self._mouth.player
            return {
                "speaking": said is not None and not self._mouth.paused,
                "paused": self._mouth.paused,
                "utterance": None if said is None else int(said.number),
                "sentence": None if said is None else said.at,
                "span": None if place is None else list(place[1]),
                "queued": len(self._queue.utterances),
                "ahead": round(sum(said.ahead for said in self._queue.utterances), 2),
                "rate": self._queue.rate,
                "volume": self._mouth.volume,
                "loaded": self._worker.sample_rate > 0,
                "sample_rate": self._worker.sample_rate,
                "underruns": 0 if out is None else out.underruns,
                "waits": 0 if out is None else out.waits,
            }

    def voices(self) -> list[str]:
        """The names that `say` takes as a voice."""
        return voices.names()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until all that was queued has been heard; False if it took longer (seconds)."""
        with self._queue.changed:
            return self._queue.changed.wait_for(lambda: not self._queue.utterances, timeout)

    def wait_loaded(self) -> None:
        """Waits until the model is loaded.

        Raises:
            SparkError: it could not be.
        """
        worker = self._worker
        with self._queue.changed:
            self._queue.changed.wait_for(
                lambda: worker.sample_rate or worker.failure is not None or self._queue.closed
            )
            if worker.failure is not None:
                raise worker.failure

    @property
    def rate(self) -> float:
        """The tempo, 0.5 to 3: 1 is as the model speaks. May be set while it speaks."""
        return self._queue.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._queue.rate = player.checked_rate(rate)

    @property
    def volume(self) -> float:
        """A factor, 0 to 4: 1 is as the model speaks. May be set while it speaks."""
        return self._mouth.volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._mouth.volume = player.checked_volume(volume)

    def _job(
        self,
        text: str,
        voice: Voice | str | None,
        start: int,
        notify: Callable[[], None] | None = None,
    ) -> Job:
        if self._worker.failure is not None:
            raise self._worker.failure
        found = voices.find(voice) if isinstance(voice, str) else voice
        return Job(Script(text, start), found, notify)
