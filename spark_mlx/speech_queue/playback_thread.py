"""Speaks the queue: stretches of speech → a player, a second before they are heard, and events.

A thread of its own; it opens the device when there is something to say, lets it go when there has
long been nothing, and tries another one when it goes away.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.audio.playback import portaudio
from spark_mlx.audio.player import Player
from spark_mlx.errors import PlaybackError
from spark_mlx.generation import pauses
from spark_mlx.speech_queue.queue import Queue, Said
from spark_mlx.speech_queue.synthesis_thread import Worker
from spark_mlx.text.segmentation import Boundary

# In seconds of speech.
FED = 1.0  # that the player is given before it is heard
TAIL = 0.25  # at the end, which the player may hold back until it knows that nothing follows

TICK = 0.02  # seconds between two looks at the player
STILL = 1.0  # seconds in which a player that plays gets on
IDLE = 30.0  # seconds of silence after which the device is let go
RESTART = 2.0  # seconds between two searches for a device where there was none


class Mouth:
    """Gives a player what is to be said, and tells what is heard.

    Args:
        queue: what is to be said.
        worker: what makes it.
        device: an output device for `Player`; None for the default one.
        volume: of all of it.

    Attributes:
        volume: see above; may be set while it speaks.
        paused: whether the speech is held back.
        player: the open one; None while nothing is to be played.
    """

    def __init__(
        self, queue: Queue, worker: Worker, device: str | int | None, volume: float
    ) -> None:
        self.volume = volume
        self.paused = False
        self.player: Player | None = None
        self._queue = queue
        self._worker = worker
        self._device = device
        self._control = threading.RLock()  # one caller at a time silences the player
        self._epoch = 0  # how often the player was silenced
        self._held = False  # whether it is just being silenced
        self._opened = contextlib.ExitStack()  # what closes it
        self._tail = np.zeros(0, dtype=np.float32)  # of what was heard to its end just now
        self._moved = 0.0, 0.0  # where the player was last, and since when
        self._searched = -RESTART
        self._thread = threading.Thread(target=self._speak, name="spark-mlx mouth", daemon=True)

    # In the threads of the callers.

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Waits for the end of the thread, which comes when the queue is closed."""
        self._thread.join(timeout)

    def pause(self, paused: bool) -> None:
        """Holds the speech where it is, or goes on."""
        with self._queue.changed:
            self.paused = paused
            if self.player is not None:
                self.player.pause() if paused else self.player.resume()
            self._queue.changed.notify_all()

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Silences the player and takes back what was not heard. Inside, the lock is held.

        The mouth gives nothing to the player meanwhile, so nothing new is lost.
        """
        with self._control:
            with self._queue.changed:
                self._epoch += 1
                self._held = True
                out = self.player
            try:
                if out is not None:
                    out.stop()
                with self._queue.changed:
                    self._take_back()
                    yield
            finally:
                with self._queue.changed:
                    self._held = False
                    self._queue.changed.notify_all()

    def _take_back(self) -> None:
        if self._queue.utterances:
            said = self._queue.utterances[0]
            if said.base is not None and self.player is not None:
                said.before += max(0.0, min(self.player.position - said.base, said.written))
            said.take_back()
        self._tail = self._tail[:0]

    # In its own thread.

    def _speak(self) -> None:
        while not self._queue.closed:
            try:
                self._step()
            except PlaybackError as error:
                self._lost(error)
        self._let_go()

    def _step(self) -> None:
        """Gives the player what it needs, and tells what is heard."""
        with self._queue.changed:
            if not self._queue.changed.wait_for(self._busy, IDLE):
                self._let_go()
                return
            if self._queue.closed:
                return
            said, epoch, worker = self._queue.utterances[0], self._epoch, self._worker
            if worker.failure is not None:
                self._queue.end(said, "error", str(worker.failure))
                return
        out = self.player or self._open()
        with self._queue.changed:
            if epoch != self._epoch or self._held:
                return
            # They are set here and nowhere else: a property of an utterance may have to wait.
            out.rate = said.rate or self._queue.rate
            out.volume = self.volume
            given = self._next_for(said, out)
            left = said.written - (out.position - (said.base or 0.0))
            over = said.job.done and not said.job.ready and left <= TAIL * out.rate
            stuck = left > 0 and self._stands_still(out.position)
            if given is None and (self.paused or not (over or stuck)):
                self._queue.changed.wait(IDLE if self.paused else TICK)
                return
        if given is None:
            out.drain()  # also tells what a player that stands still has died of
        else:
            out.write(given)
        with self._queue.changed:
            if epoch != self._epoch:
                out.stop()  # it came too late to be dropped with the rest
            elif given is None and over:
                self._heard(said, float("inf"))
                self._finish(said)

    def _stands_still(self, position: float) -> bool:
        """Whether the player is where it was for long."""
        now = time.monotonic()
        if self.paused or position != self._moved[0]:
            self._moved = position, now
        return now - self._moved[1] > STILL

    def _busy(self) -> bool:
        """Whether there is something to do for the mouth."""
        worker = self._worker
        known = worker.sample_rate > 0 or worker.failure is not None
        return self._queue.closed or bool(self._queue.utterances and known and not self._held)

    def _next_for(self, said: Said, out: Player) -> Samples | None:
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
        self._queue.changed.notify_all()
        return samples

    def _heard(self, said: Said, heard: float) -> None:
        """Tells of sentences that begin, up to `heard` seconds after `base`."""
        while said.unheard and said.unheard[0][0] < heard:
            start, stretch = said.unheard[0]
            if stretch.seconds and (stretch.sentence != said.at or not said.told):
                if not said.begun:
                    self._queue.tell(said, "begin", stretch.sentence, said.before + start)
                if stretch.sentence != said.at:
                    said.kept.clear()
                said.begun, said.told, said.at = True, True, stretch.sentence
                self._queue.tell(said, "sentence", stretch.sentence, said.before + start)
            if start + stretch.seconds > heard:
                return
            if stretch.warning:
                said.warnings.append(stretch.warning)
            said.kept.append(stretch)
            said.unheard.popleft()

    def _finish(self, said: Said) -> None:
        """Ends an utterance of which everything was heard that will ever be."""
        said.before += said.written
        kept = [stretch.samples for stretch in said.kept]
        if said.job.error is not None:
            self._queue.end(said, "error", str(said.job.error))
        elif not said.begun:
            message = "; ".join(said.warnings) or "the model gave no sound; try another wording"
            self._queue.end(said, "error", message)
        else:
            self._queue.end(said, "end", "; ".join(said.warnings))
            if self._queue.utterances:
                longest = int(pauses.LONGEST * self._worker.sample_rate)
                self._tail = np.concatenate(kept)[-longest:] if kept else self._tail[:0]

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
        portaudio.restart()
        return self._entered()

    def _entered(self) -> Player:
        rate = self._worker.sample_rate
        out = self._opened.enter_context(Player(rate, device=self._device))
        with self._queue.changed:
            if self.paused:
                out.pause()
            self.player = out
        return out

    def _lost(self, error: PlaybackError) -> None:
        """Tries another device, once, from the first sentence that was not heard to its end; or
        reports the utterance."""
        with self._queue.changed:
            retry = self.player is not None
            self._take_back()
        self._let_go()
        with self._queue.changed:
            if self._queue.utterances and not (retry and not self._queue.utterances[0].retried):
                self._queue.end(self._queue.utterances[0], "error", str(error))
            elif self._queue.utterances:
                self._queue.utterances[0].retried = True

    def _let_go(self) -> None:
        """Closes the device, which need not play any more."""
        with self._queue.changed:
            out, self.player = self.player, None
        if out is not None:
            out.stop()
        with contextlib.suppress(PlaybackError):
            self._opened.close()
