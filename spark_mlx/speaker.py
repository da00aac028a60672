"""One utterance after another, spoken aloud in this process: texts → ears, and events.

Three threads beside the callers': the worker makes speech, the mouth gives it to the player a
second before it is heard, and the herald tells who listens. A caller never waits for any of them.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from spark_mlx import pauses, player, voices
from spark_mlx.audio import Samples
from spark_mlx.errors import PlaybackError, SparkError, TextError
from spark_mlx.events import Event, Herald, Utterance
from spark_mlx.pipeline import SparkTTS
from spark_mlx.places import Span
from spark_mlx.player import Player
from spark_mlx.script import Script
from spark_mlx.text import Boundary
from spark_mlx.voice import Voice
from spark_mlx.worker import Job, Stretch, Worker

__all__ = ["Event", "Speaker", "Synthesis", "Utterance"]

log = logging.getLogger(__name__)

# All in seconds of speech.
AHEAD = 10.0  # that is made before it is heard
URGENT = 2.0  # ahead: with less, what is heard goes before what others play
FED = 1.0  # that the player is given before it is heard
TAIL = 0.25  # at the end, which the player may hold back until it knows that nothing follows

TICK = 0.02  # seconds between two looks at the player
STILL = 1.0  # seconds in which a player that plays gets on
IDLE = 30.0  # seconds of silence after which the device is let go
RESTART = 2.0  # seconds between two searches for a device where there was none
MOST_QUEUED = 1000  # texts
SHARE = 4  # every so many steps, work goes to the less urgent


@dataclass(eq=False)
class _Said:
    """An utterance in the queue.

    Attributes:
        number, job: which it is, and what makes it.
        rate: its own; None for the speaker's.
        at: the sentence that is being heard, or was gone to.
        told: whether its event was sent.
        begun: whether any of it was heard.
        before: seconds heard before the player was last stopped.
        base: the player's position when it was given the first of `unheard`; None before that.
        written: seconds given to it since then.
        kept: stretches of the sentence `at` that were heard.
        unheard: others that were given to the player, and where in `written` they begin.
        warnings: what can be heard to be wrong.
        retried: whether another device was tried for it.
    """

    number: Utterance
    job: Job
    rate: float | None
    at: int = 0
    told: bool = False
    begun: bool = False
    before: float = 0.0
    base: float | None = None
    written: float = 0.0
    kept: list[Stretch] = field(default_factory=list)
    unheard: deque[tuple[float, Stretch]] = field(default_factory=deque)
    warnings: list[str] = field(default_factory=list)
    retried: bool = False

    @property
    def ahead(self) -> float:
        """Seconds that are made and not heard."""
        return self.job.seconds + sum(stretch.seconds for _, stretch in self.unheard)

    def take_back(self) -> None:
        """Makes ready again what the player was given and nobody heard, the sentence `at` whole."""
        given = [*self.kept, *(stretch for _, stretch in self.unheard)]
        self.job.ready.extendleft(reversed(given))
        self.kept.clear()
        self.unheard.clear()
        self.base, self.written, self.told = None, 0.0, False


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
        # Reentrant: a caller may hold it in `_silence` and tell events of what it ends.
        self._changed = threading.Condition(threading.RLock())
        self._control = threading.RLock()  # one caller at a time silences the player
        self._queue: deque[_Said] = deque()
        self._syntheses: list[Job] = []
        self._numbers = itertools.count(1)
        self._turn = 0
        self._epoch = 0  # how often the player was silenced
        self._held = False  # whether it is just being silenced
        self._paused = False
        self._closed = False
        self._device = device
        self._player: Player | None = None
        self._opened = contextlib.ExitStack()  # what closes it
        self._tail = np.zeros(0, dtype=np.float32)  # of what was heard to its end just now
        self._moved = 0.0, 0.0  # where the player was last, and since when
        self._searched = -RESTART
        self.rate = rate
        self.volume = volume
        found = voices.find(voice) if isinstance(voice, str) else voice
        self._herald = Herald()
        self._worker = Worker(tts, found, self._pick, self._changed)
        self._mouth = threading.Thread(target=self._speak, name="spark-mlx mouth", daemon=True)
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
        with self._changed:
            self._closed = True
            for job in self._syntheses:
                job.stop.set()
            self._changed.notify_all()
        self._mouth.join(5)
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
        with self._silence() if now else self._changed:
            if now:
                self._paused = False
                if self._player is not None:
                    self._player.resume()
                for said in list(self._queue):
                    self._end(said, "stopped")
            if self._closed:
                raise SparkError("the speaker was closed; make another one")
            if len(self._queue) >= MOST_QUEUED:
                raise TextError(f"{MOST_QUEUED} texts wait already; wait for some, or stop them")
            number = Utterance(next(self._numbers))
            self._herald.expect(number)
            self._queue.append(_Said(number, job, rate))
            self._changed.notify_all()
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
        with self._changed:
            self._syntheses.append(job)
            self._changed.notify_all()
        return Synthesis(job, self._changed, self._forget)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Calls `callback` with every event, in a thread of its own, until the function that is
        returned is called."""
        return self._herald.subscribe(callback)

    def stop(self, utterance: int | None = None) -> None:
        """Silence within a tenth of a second, and nothing is left in the queue; or ends only one
        utterance, if it is not over yet."""
        with self._changed:
            waiting = [said for said in list(self._queue)[1:] if said.number == utterance]
            for said in waiting:
                self._end(said, "stopped")
        if waiting:
            return
        with self._silence():
            if utterance is None:
                self._paused = False
                if self._player is not None:
                    self._player.resume()
            for said in list(self._queue):
                if utterance is None or said.number == utterance:
                    self._end(said, "stopped")

    def pause(self) -> None:
        """Holds the speech where it is. `say(now=True)`, `stop` and `resume` end it."""
        self._pause(True)

    def resume(self) -> None:
        """Goes on after `pause`."""
        self._pause(False)

    def skip(self, sentences: int) -> None:
        """Goes on at another sentence of this utterance: 1 is the next, 0 this one again, -1 the
        one before. Past the last one the utterance ends; before the first one it begins anew."""
        with self._silence():
            if not self._queue:
                return
            said = self._queue[0]
            found = said.job.script.sentence(said.at + sentences)
            if found is None:
                self._end(said, "end")
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
        with self._changed:
            said = self._queue[0] if self._queue else None
            place = None if said is None else said.job.script.sentence(said.at)
            out = self._player
            return {
                "speaking": said is not None and not self._paused,
                "paused": self._paused,
                "utterance": None if said is None else int(said.number),
                "sentence": None if said is None else said.at,
                "span": None if place is None else list(place[1]),
                "queued": len(self._queue),
                "ahead": round(sum(said.ahead for said in self._queue), 2),
                "rate": self._rate,
                "volume": self._volume,
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
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout)

    def wait_loaded(self) -> None:
        """Waits until the model is loaded.

        Raises:
            SparkError: it could not be.
        """
        worker = self._worker
        with self._changed:
            self._changed.wait_for(
                lambda: worker.sample_rate or worker.failure is not None or self._closed
            )
            if worker.failure is not None:
                raise worker.failure

    @property
    def rate(self) -> float:
        """The tempo, 0.5 to 3: 1 is as the model speaks. May be set while it speaks."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = player.checked_rate(rate)

    @property
    def volume(self) -> float:
        """A factor, 0 to 4: 1 is as the model speaks. May be set while it speaks."""
        return self._volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._volume = player.checked_volume(volume)

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

    def _pause(self, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            if self._player is not None:
                self._player.pause() if paused else self._player.resume()
            self._changed.notify_all()

    @contextlib.contextmanager
    def _silence(self) -> Iterator[None]:
        """Silences the player and takes back what was not heard. Inside, `_changed` is held.

        The mouth gives nothing to the player meanwhile, so nothing new is lost.
        """
        with self._control:
            with self._changed:
                self._epoch += 1
                self._held = True
                out = self._player
            try:
                if out is not None:
                    out.stop()
                with self._changed:
                    self._take_back()
                    yield
            finally:
                with self._changed:
                    self._held = False
                    self._changed.notify_all()

    def _take_back(self) -> None:
        if self._queue:
            said = self._queue[0]
            if said.base is not None and self._player is not None:
                said.before += max(0.0, min(self._player.position - said.base, said.written))
            said.take_back()
        self._tail = self._tail[:0]

    def _forget(self, job: Job) -> None:
        """Ends a synthesis; for who has the lock."""
        job.stop.set()
        if job in self._syntheses:
            self._syntheses.remove(job)

    # In the worker's thread, with the lock.

    def _pick(self) -> Job | None:
        """The job that the worker should go on with."""
        ahead = 0.0
        wanted = None
        for said in self._queue:
            ahead += said.ahead
            if ahead >= AHEAD * max(1.0, self._rate):
                break
            if not said.job.done:
                wanted = said.job
                break
        others = [job for job in self._syntheses if not job.done and job.seconds < AHEAD]
        if wanted is None or not others:
            return wanted or (others[0] if others else None)
        self._turn += 1
        turn = self._turn % SHARE == 0
        return others[0] if turn == (ahead < URGENT) else wanted

    # In the mouth's thread.

    def _speak(self) -> None:
        while not self._closed:
            try:
                self._step()
            except PlaybackError as error:
                self._lost(error)
        self._let_go()

    def _step(self) -> None:
        """Gives the player what it needs, and tells what is heard."""
        with self._changed:
            if not self._changed.wait_for(self._busy, IDLE):
                self._let_go()
                return
            if self._closed:
                return
            said, epoch, worker = self._queue[0], self._epoch, self._worker
            if worker.failure is not None:
                self._end(said, "error", str(worker.failure))
                return
        out = self._player or self._open()
        with self._changed:
            if epoch != self._epoch or self._held:
                return
            # They are set here and nowhere else: a property of an utterance may have to wait.
            out.rate = said.rate or self._rate
            out.volume = self._volume
            given = self._next_for(said, out)
            left = said.written - (out.position - (said.base or 0.0))
            over = said.job.done and not said.job.ready and left <= TAIL * out.rate
            stuck = left > 0 and self._stands_still(out.position)
            if given is None and (self._paused or not (over or stuck)):
                self._changed.wait(IDLE if self._paused else TICK)
                return
        if given is None:
            out.drain()  # also tells what a player that stands still has died of
        else:
            out.write(given)
        with self._changed:
            if epoch != self._epoch:
                out.stop()  # it came too late to be dropped with the rest
            elif given is None and over:
                self._heard(said, float("inf"))
                self._finish(said)

    def _stands_still(self, position: float) -> bool:
        """Whether the player is where it was for long."""
        now = time.monotonic()
        if self._paused or position != self._moved[0]:
            self._moved = position, now
        return now - self._moved[1] > STILL

    def _busy(self) -> bool:
        """Whether there is something to do for the mouth."""
        worker = self._worker
        known = worker.sample_rate > 0 or worker.failure is not None
        return self._closed or bool(self._queue and known and not self._held)

    def _next_for(self, said: _Said, out: Player) -> Samples | None:
        """What to give to the player now, if anything; and tells what was heard."""
        position = out.position
        if said.base is not None:
            self._heard(said, position - said.base)
            if said.written - (position - said.base) >= FED * out.rate:
                return None
        if not said.job.ready:
            return None
        stretch = said.job.ready.popleft()
        samples = stretch.samples
        self._moved = position, time.monotonic()  # it may have stood still for lack of them
        if said.base is None:
            said.base = position
            if len(self._tail):  # another one ended just now
                silence = pauses.pause(
                    self._tail, samples, Boundary.SENTENCE, self._worker.sample_rate
                )
                said.base += len(silence) / self._worker.sample_rate
                samples = np.concatenate([silence, samples])
                self._tail = self._tail[:0]
        said.unheard.append((said.written, stretch))
        said.written += stretch.seconds
        self._changed.notify_all()
        return samples

    def _heard(self, said: _Said, heard: float) -> None:
        """Tells of sentences that begin, up to `heard` seconds after `base`."""
        while said.unheard and said.unheard[0][0] < heard:
            start, stretch = said.unheard[0]
            if stretch.seconds and (stretch.sentence != said.at or not said.told):
                if not said.begun:
                    self._tell(said, "begin", stretch.sentence, said.before + start)
                if stretch.sentence != said.at:
                    said.kept.clear()
                said.begun, said.told, said.at = True, True, stretch.sentence
                self._tell(said, "sentence", stretch.sentence, said.before + start)
            if start + stretch.seconds > heard:
                return
            if stretch.warning:
                said.warnings.append(stretch.warning)
            said.kept.append(stretch)
            said.unheard.popleft()

    def _finish(self, said: _Said) -> None:
        """Ends an utterance of which everything was heard that will ever be."""
        said.before += said.written
        kept = [stretch.samples for stretch in said.kept]
        if said.job.error is not None:
            self._end(said, "error", str(said.job.error))
        elif not said.begun:
            message = "; ".join(said.warnings) or "the model gave no sound; try another wording"
            self._end(said, "error", message)
        else:
            self._end(said, "end", "; ".join(said.warnings))
            if self._queue:
                longest = int(pauses.LONGEST * self._worker.sample_rate)
                self._tail = np.concatenate(kept)[-longest:] if kept else self._tail[:0]

    def _tell(self, said: _Said, kind: str, number: int, when: float, message: str = "") -> None:
        found = said.job.script.sentence(number)
        span: Span = (0, 0) if found is None else found[1]
        text = said.job.script.text[slice(*span)]
        self._herald.tell(Event(kind, int(said.number), number, text, span, when, message))

    def _end(self, said: _Said, kind: str, message: str = "") -> None:
        """Takes an utterance out of the queue, and tells."""
        said.job.stop.set()
        self._queue.remove(said)
        self._tell(said, kind, said.at, said.before, message)
        self._changed.notify_all()

    def _open(self) -> Player:
        """Opens the device.

        Raises:
            PlaybackError: there is none, or it does not play.
        """
        try:
            return self._entered()
        except PlaybackError:
            if time.monotonic() - self._searched < RESTART:
                raise
        # PortAudio only knows the devices that there were when it was started.
        self._searched = time.monotonic()
        player.restart()
        return self._entered()

    def _entered(self) -> Player:
        rate = self._worker.sample_rate
        out = self._opened.enter_context(Player(rate, device=self._device))
        with self._changed:
            if self._paused:
                out.pause()
            self._player = out
        return out

    def _lost(self, error: PlaybackError) -> None:
        """Tries another device, once, from the first sentence that was not heard to its end; or
        reports the utterance."""
        with self._changed:
            retry = self._player is not None
            self._take_back()
        self._let_go()
        with self._changed:
            if self._queue and not (retry and not self._queue[0].retried):
                self._end(self._queue[0], "error", str(error))
            elif self._queue:
                self._queue[0].retried = True

    def _let_go(self) -> None:
        """Closes the device, which need not play any more."""
        with self._changed:
            out, self._player = self._player, None
        if out is not None:
            out.stop()
        with contextlib.suppress(PlaybackError):
            self._opened.close()


class Synthesis:
    """Speech as it is made, for someone who plays it himself: an iterator of samples (N,) float32
    at the model's rate, the span of their sentence in the text, and its number.

    At most ten seconds are made before they are taken. Iterating raises GenerationError and the
    like where a text cannot be spoken.
    """

    def __init__(
        self, job: Job, changed: threading.Condition, forget: Callable[[Job], None]
    ) -> None:
        self._job = job
        self._changed = changed
        self._forget = forget

    def __iter__(self) -> Synthesis:
        return self

    def __next__(self) -> tuple[Samples, Span, int]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._job.ready or self.over)
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
        with self._changed:
            if self._job.stop.is_set():
                return None
            if self._job.ready:
                self._changed.notify_all()
                return self._job.ready.popleft()
            if self._job.done:
                error = self._job.error
                self._forget(self._job)
                if error is not None:
                    raise error
            return None

    def span(self, stretch: Stretch) -> Span:
        """The place of a stretch's sentence."""
        found = self._job.script.sentence(stretch.sentence)
        return (0, 0) if found is None else found[1]

    def close(self) -> None:
        """Nobody wants the rest."""
        with self._changed:
            self._forget(self._job)
            self._changed.notify_all()
