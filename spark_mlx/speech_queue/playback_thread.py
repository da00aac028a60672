"""The thread that plays: chunks of the first utterance → a player, a second ahead, and events.

It opens the device when there is something to say, closes it after a long silence, and tries
another one when it goes away.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.audio.player import Player
from spark_mlx.errors import GenerationError, PlaybackError
from spark_mlx.generation import pauses
from spark_mlx.speech_queue.job import seconds
from spark_mlx.speech_queue.output_device import OutputDevice
from spark_mlx.speech_queue.queue import QueuedUtterance, UtteranceQueue
from spark_mlx.text.segmentation import Boundary

# In seconds of speech.
FED = 1.0  # given to the player before it is heard
TAIL = 0.25  # at the end, which the player may hold back until it knows that nothing follows

TICK = 0.02  # seconds between two looks at the player
STILL = 1.0  # seconds in which a player that plays gets on
IDLE = 30.0  # seconds of silence after which the device is closed


class PlaybackThread:
    """Play the queue's utterances and tell what is heard.

    Args:
        device: an output device for `Player`; None for the default one.
        volume: of all of it.

    Attributes:
        volume: see above; may be set at any time.
        paused: whether speech is held back.
        player: the open one; None while nothing is to be played.
    """

    def __init__(self, queue: UtteranceQueue, device: str | int | None, volume: float) -> None:
        self.volume = volume
        self.paused = False
        self.player: Player | None = None
        self._queue = queue
        self._device = OutputDevice(device)
        self._control = threading.RLock()  # one caller at a time silences the player
        self._epoch = 0  # how often the player was silenced
        self._held = False  # whether it is being silenced
        self._join: pauses.Joiner  # of the open player
        self._closed_counts = 0, 0  # underruns and waits of closed players
        self._moved = 0.0, 0.0  # the player's last position, and since when
        self._thread = threading.Thread(target=self._run, name="spark-mlx playback", daemon=True)

    # In the threads of the callers.

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Wait for the thread, which ends when the queue is closed."""
        self._thread.join(timeout)

    def pause(self, paused: bool) -> None:
        """Hold the speech where it is, or go on."""
        with self._queue.changed:
            self.paused = paused
            if self.player is not None:
                self.player.pause() if paused else self.player.resume()
            self._queue.changed.notify_all()

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Silence the player and requeue unplayed audio. Inside, the queue's lock is held.

        Nothing is given to the player meanwhile, so nothing is lost.
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
                    self._requeue()
                    yield
            finally:
                with self._queue.changed:
                    self._held = False
                    self._queue.changed.notify_all()

    def counts(self) -> tuple[int, int]:
        """Underruns and waits of all players so far."""
        with self._queue.changed:
            underruns, waits = self._closed_counts
            if self.player is not None:
                underruns += self.player.underruns
                waits += self.player.waits
            return underruns, waits

    def _requeue(self) -> None:
        if self.player is None:
            return
        self._join.reset()
        if self._queue.utterances:
            queued = self._queue.utterances[0]
            if queued.base is not None:
                heard = self.player.position - queued.base
                queued.before += max(0.0, min(heard, queued.written))
            queued.requeue()

    # In its own thread.

    def _run(self) -> None:
        while not self._queue.closed:
            try:
                self._step()
            except PlaybackError as error:
                self._device_lost(error)
        self._close_device()

    def _step(self) -> None:
        """Give the player its next samples, and tell what is heard."""
        queue = self._queue
        with queue.changed:
            if not queue.changed.wait_for(self._busy, IDLE):
                self._close_device()
                return
            if queue.closed:
                return
            queued, epoch = queue.utterances[0], self._epoch
            if queue.failure is not None:
                queue.end(queued, "error", queue.failure)
                return
        out = self.player or self._open_device()
        with queue.changed:
            if epoch != self._epoch or self._held:
                return
            out.rate = queued.rate or queue.rate
            out.volume = self.volume
            samples = self._next_samples(queued, out)
            left = queued.written - (out.position - (queued.base or 0.0))
            over = queued.job.done and not queued.job.ready and left <= TAIL * out.rate
            stuck = left > 0 and self._stands_still(out.position)
            if samples is None and (self.paused or not (over or stuck)):
                queue.changed.wait(IDLE if self.paused else TICK)
                return
        if samples is None:
            out.drain()  # raises what a player that stands still has died of
        elif len(samples):
            out.write(samples)
        with queue.changed:
            if epoch != self._epoch:
                out.stop()  # written too late to be dropped with the rest
            elif samples is None and over:
                self._tell_heard(queued, float("inf"))
                self._finish(queued)

    def _stands_still(self, position: float) -> bool:
        """Whether the player has not moved for long."""
        now = time.monotonic()
        if self.paused or position != self._moved[0]:
            self._moved = position, now
        return now - self._moved[1] > STILL

    def _busy(self) -> bool:
        """Whether there is something to do."""
        queue = self._queue
        known = queue.sample_rate > 0 or queue.failure is not None
        return queue.closed or bool(queue.utterances and known and not self._held)

    def _next_samples(self, queued: QueuedUtterance, out: Player) -> Samples | None:
        """Samples to write now, if any; also tells what was heard."""
        position = out.position
        if queued.base is not None:
            self._tell_heard(queued, position - queued.base)
            if queued.written - (position - queued.base) >= FED * out.rate:
                return None
        if not queued.job.ready:
            return None
        chunk = queued.job.ready.popleft()
        self._moved = position, time.monotonic()  # it may have stood still for lack of samples
        silence = self._join.before(chunk.samples)  # only between two utterances
        if queued.base is None:
            queued.base = position + len(silence) / chunk.sample_rate
        queued.unheard.append((queued.written, chunk))
        queued.written += seconds(chunk)
        self._queue.changed.notify_all()
        return np.concatenate([silence, chunk.samples]) if len(silence) else chunk.samples

    def _tell_heard(self, queued: QueuedUtterance, heard: float) -> None:
        """Tell of sentences and chunks that begin, up to `heard` seconds after `base`."""
        while queued.unheard and queued.unheard[0][0] < heard:
            start, chunk = queued.unheard[0]
            length = seconds(chunk)
            if length and (chunk.sentence != queued.at or not queued.told):
                if not queued.begun:
                    self._queue.tell(queued, "begin", chunk.sentence, queued.before + start)
                if chunk.sentence != queued.at:
                    queued.kept.clear()
                queued.begun, queued.told, queued.at = True, True, chunk.sentence
                self._queue.tell(queued, "sentence", chunk.sentence, queued.before + start)
            if length and queued.heard is not None and chunk is not queued.current:
                queued.heard.put((chunk, queued.before + start))
            queued.current = chunk
            if start + length > heard:
                return
            if chunk.warning:
                queued.warnings.append(chunk.warning)
            queued.kept.append(chunk)
            queued.unheard.popleft()

    def _finish(self, queued: QueuedUtterance) -> None:
        """End an utterance of which everything was heard."""
        queued.before += queued.written
        if queued.job.error is not None:
            self._queue.end(queued, "error", queued.job.error)
        elif not queued.begun:
            fault = "; ".join(queued.warnings) or "no sound"
            error = GenerationError(f"the model gave {fault}; try another seed or wording")
            self._queue.end(queued, "error", error)
        else:
            self._queue.end(queued, "end")
        if self._queue.utterances:
            self._join.end(Boundary.SENTENCE)
        else:
            self._join.reset()

    def _open_device(self) -> Player:
        out = self._device.open(self._queue.sample_rate)
        with self._queue.changed:
            if self.paused:
                out.pause()
            self.player = out
            self._join = pauses.Joiner(self._queue.sample_rate)
        return out

    def _device_lost(self, error: PlaybackError) -> None:
        """Try another device, once, from the first sentence that was not heard to its end; or
        report the utterance."""
        with self._queue.changed:
            retry = self.player is not None
            self._requeue()
        self._close_device()
        with self._queue.changed:
            if not self._queue.utterances:
                return
            queued = self._queue.utterances[0]
            if retry and not queued.retried:
                queued.retried = True
            else:
                self._queue.end(queued, "error", error)

    def _close_device(self) -> None:
        """Close the player at once."""
        with self._queue.changed:
            self._closed_counts = self.counts()
            out, self.player = self.player, None
        if out is not None:
            out.stop()
        self._device.close()
