"""Plays sound through sounddevice and PortAudio, while more of it comes.

samples (N,), bit by bit → a device. Three threads: `Player.write` only queues; the feeder
stretches and resamples, a tenth of a second ahead; PortAudio's callback copies, and does at once
what cannot wait: volume, pause and stop. Knows nothing of models.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

import numpy as np
import numpy.typing as npt

from spark_mlx.audio.files import Samples
from spark_mlx.audio.playback import portaudio
from spark_mlx.audio.playback.feeder import TICK, Feeder
from spark_mlx.audio.playback.output import LATENCY
from spark_mlx.audio.playback.renderer import Renderer
from spark_mlx.audio.time_stretch import FASTEST, SLOWEST
from spark_mlx.errors import PlaybackError

LOUDEST = 4.0  # a volume; 12 dB more than the samples have

# In seconds. What is between `write` and the ear decides how soon a command is heard: of a stop
# BLOCK and LATENCY, of a new rate the feeder's AHEAD too.
QUEUED = 3.0  # of sound, before `write` blocks


def play(samples: Samples, rate: int) -> None:
    """Plays (N,) at `rate` Hz and returns when the sound has ended. Ctrl-C stops it at once.

    A device that refuses the rate gets the sound resampled to the rate it prefers.

    Raises:
        PlaybackError: there is no PortAudio library, no output device, or the device fails.
    """
    if not len(samples):
        return
    with Player(rate) as player:
        player.write(samples)


class Player:
    """Plays what is written to it without a gap, on one stream that stays open.

    A context manager. Leaving it plays out what is queued; leaving it by an exception, as by
    Ctrl-C, stops at once. Any thread may call its methods.

        with Player(16_000, rate=1.5) as player:
            for chunk in tts.stream("Hello."):
                player.write(chunk.samples)

    Args:
        sample_rate: of what will be written, in Hz. A device that refuses it gets the sound
            resampled to the rate it prefers.
        device: an index, a name or a part of one, of an output device; the default one if None.
        volume: see the property.
        rate: see the property.

    Raises:
        PlaybackError: there is no PortAudio library or no such device, or a setting is out of
            range. Every method raises it when the device has failed for good.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        device: str | int | None = None,
        volume: float = 1.0,
        rate: float = 1.0,
    ) -> None:
        self._renderer = Renderer(sample_rate)
        self._feeder = Feeder(sample_rate, self._renderer)
        self._queue = self._feeder.queue
        self.volume = volume
        self.rate = rate
        self._sample_rate = sample_rate
        self._device = portaudio.find(device)
        self._open = False

    def __enter__(self) -> Player:
        self._feeder.connect(self._device)
        self._open = True
        self._feeder.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        heard = False
        try:
            if error is None:
                self.drain()
                heard = True
        finally:
            if not heard:
                self.stop()
                renderer = self._renderer
                self._until(lambda: renderer.epoch_taken == renderer.epoch, 2 * LATENCY)
                time.sleep(min(renderer.latency, 2 * LATENCY))  # so that the fade is heard
            self._open = False
            self._feeder.close(play_out=heard)

    @property
    def volume(self) -> float:
        """A factor, 0 … 4; above 1 loud sound is clipped. May be set while something plays."""
        return self._renderer.volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._renderer.volume = checked_volume(volume)

    @property
    def rate(self) -> float:
        """The tempo, 0.5 … 3; the pitch stays. May be set while something plays."""
        return self._feeder.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._feeder.rate = checked_rate(rate)

    @property
    def position(self) -> float:
        """Seconds of what was written, at its own tempo, that were heard since the start.

        What `stop` dropped does not count.
        """
        with self._queue.changed:
            return self._renderer.heard(time.perf_counter()) / self._sample_rate

    @property
    def paused(self) -> bool:
        """Whether sound is held back."""
        return self._renderer.paused

    @property
    def underruns(self) -> int:
        """How often the device had nothing to play, because the callback came too late."""
        return self._renderer.underruns

    @property
    def waits(self) -> int:
        """How often speech broke off because there was nothing to play yet."""
        return self._renderer.waits

    def write(self, samples: npt.ArrayLike) -> None:
        """Queues (N,), -1 … 1. Blocks only while more than three seconds of sound are queued.

        Returns at once, without the rest, when another thread stops the player.

        Raises:
            PlaybackError: the samples have another shape, the device has failed for good, or the
                player is not open.
        """
        sound = np.asarray(samples, dtype=np.float32)
        if sound.ndim != 1:
            raise PlaybackError(f"sound of shape {sound.shape} cannot be played; give one channel")
        with self._queue.changed:
            epoch = self._renderer.epoch
            for start in range(0, len(sound), self._feeder.portion):
                self._check()
                while self._queue.count >= QUEUED * max(1.0, self.rate) * self._sample_rate:
                    self._queue.changed.wait()
                    self._check()
                    if epoch != self._renderer.epoch:
                        return
                some = sound[start : start + self._feeder.portion].copy()
                self._queue.sounds.append(some)
                self._queue.count += len(some)
                self._queue.ending = False
                self._queue.changed.notify_all()

    def drain(self) -> None:
        """Returns when all that was written has been heard, or another thread stops the player.

        While the player is paused it waits.

        Raises:
            PlaybackError: the device has failed for good, or the player is not open.
        """
        with self._queue.changed:
            self._check()
            self._queue.ending = True
            self._queue.changed.notify_all()
        self._until(lambda: self._queue.error is not None or self._feeder.drained())
        with self._queue.changed:
            self._check()

    def pause(self) -> None:
        """Holds the sound back, until `resume`."""
        self._renderer.paused = True

    def resume(self) -> None:
        """Goes on where `pause` held the sound back; nothing is lost."""
        self._renderer.paused = False

    def stop(self) -> None:
        """Drops what is queued. The sound ceases within a tenth of a second, without a click.

        Returns at once. What is written from now on is played.
        """
        with self._queue.changed:
            self._renderer.epoch += 1
            self._queue.sounds.clear()
            self._queue.count = 0
            self._queue.ending = False
            self._queue.changed.notify_all()

    def _check(self) -> None:
        if self._queue.error is not None:
            raise self._queue.error
        if not self._open:
            raise PlaybackError("the player is not open; use it in a with statement")

    def _until(self, ready: Callable[[], bool], most: float = float("inf")) -> None:
        latest = time.monotonic() + most
        while not ready() and time.monotonic() < latest:
            time.sleep(TICK)


def checked_volume(volume: float) -> float:
    """A volume that can be played at.

    Raises:
        PlaybackError: it is not 0 to `LOUDEST`.
    """
    if not 0 <= volume <= LOUDEST:
        raise PlaybackError(f"no volume is {volume}; give 0 to {LOUDEST:g}")
    return float(volume)


def checked_rate(rate: float) -> float:
    """A tempo that can be played at.

    Raises:
        PlaybackError: it is not 0.5 to 3.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise PlaybackError(f"speech cannot play at rate {rate}; give {SLOWEST:g} to {FASTEST:g}")
    return float(rate)
