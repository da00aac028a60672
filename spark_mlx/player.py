"""Plays sound through sounddevice and PortAudio, while more of it comes.

samples (N,), bit by bit → a device. Three threads: `Player.write` only queues; the feeder
stretches and resamples, a tenth of a second ahead; PortAudio's callback copies, and does at once
what cannot wait: volume, pause and stop. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from spark_mlx.audio import Samples
from spark_mlx.errors import PlaybackError
from spark_mlx.stretch import FASTEST, SLOWEST, Stretch

LOUDEST = 4.0  # a volume; 12 dB more than the samples have

# All in seconds. What is between `write` and the ear decides how soon a command is heard: of a
# stop BLOCK and LATENCY, of a new rate AHEAD too.
QUEUED = 3.0  # of sound, before `write` blocks
PORTION = 0.02  # of sound, that the feeder takes at a time
AHEAD = 0.1  # of sound, ready for the callback
LATENCY = 0.05  # asked of the device, which may have its own mind
BLOCK = 0.01  # of sound for one callback, and how long a fade lasts
TICK = 0.01  # between two looks at what the callback has done; it must not wake anyone
HUNG = 2.0  # without a callback: the device is gone, though PortAudio did not notice
PATIENCE = 5.0  # with a device that is gone

_REMEDY = "write a file instead: -o speech.wav"


@dataclass(frozen=True)
class Device:
    """An output device: its name, the rate it prefers in Hz, and whether sound goes there."""

    name: str
    rate: int
    default: bool


@dataclass(frozen=True)
class _Piece:
    """Sound that is ready for the callback.

    Attributes:
        samples: (N,) at the device's rate.
        source: how many of the samples that were written they stand for.
        epoch: how often the player had been stopped before.
        last: whether speech ends with it, so that silence is as it should be.
    """

    samples: Samples
    source: float
    epoch: int
    last: bool = False


@dataclass(frozen=True)
class _Mark:
    """What is heard when: from `start` to `end` in seconds, `source` samples, the one `first`."""

    start: float
    end: float
    first: float
    source: float


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

    Attributes:
        underruns: how often the device had nothing to play, because the callback came too late.
        waits: how often speech broke off because there was nothing to play yet.

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
        self.underruns = 0
        self.waits = 0
        self.volume = volume
        self.rate = rate
        self._sample_rate = sample_rate
        self._portion = max(1, int(PORTION * sample_rate))
        self._device = _find(device)
        self._open = False
        self._paused = False

        # Callers and feeder share these; the callback never takes the lock.
        self._changed = threading.Condition()
        self._queue: deque[Samples] = deque()
        self._queued = 0  # samples in it
        self._epoch = 0  # how often the player was stopped: what is older is dropped
        self._ending = False  # nothing follows what is queued
        self._closing = False
        self._error: BaseException | None = None

        # The feeder's own.
        self._feeder = threading.Thread(target=self._feed, name="spark-mlx player", daemon=True)
        self._fed_epoch = 0
        self._fed: deque[tuple[int, Samples]] = deque()  # (first, samples) perhaps not heard yet
        self._fed_count = 0  # samples, in this epoch
        self._given = 0.0  # samples that its pieces stand for, in this epoch
        self._ended = True  # whether nothing was fed since the last piece
        self._stretch = Stretch(sample_rate)
        self._resample: soxr.ResampleStream | None = None
        self._late = 0.0  # frames that the resampler holds
        self._watch = _Watch()

        # From the feeder, which appends, to the callback, which takes: safe without a lock.
        self._ready: deque[_Piece] = deque()
        self._made = self._taken = 0  # frames, by each of the two

        # The callback's own; others only read them, or set them while there is no stream.
        self._stream: Any = None
        self._gone = threading.Event()
        self._stream_rate = sample_rate
        self._latency = 0.0
        self._calls = 0
        self._called = 0.0
        self._marks: deque[_Mark] = deque(maxlen=1000)
        self._source = 0.0  # samples that stand for what was taken
        self._offset = 0  # frames taken of the first piece
        self._epoch_taken = 0
        self._epoch_source = 0.0  # where the epoch began
        self._gain = 1.0
        self._level = 0.0  # the last sample given to the device
        self._speaking = False
        self._dry = False  # it broke off
        self._again = False  # it goes on in its middle, on another device
        self._size_block()

    def __enter__(self) -> Player:
        self._connect(self._device)
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
                self._until(lambda: self._epoch_taken == self._epoch, 2 * LATENCY)
                time.sleep(min(self._latency, 2 * LATENCY))  # so that the fade is heard
            self._open = False
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._feeder.join()
            self._disconnect(play_out=heard)

    @property
    def volume(self) -> float:
        """A factor, 0 … 4; above 1 loud sound is clipped. May be set while something plays."""
        return self._volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._volume = checked_volume(volume)

    @property
    def rate(self) -> float:
        """The tempo, 0.5 … 3; the pitch stays. May be set while something plays."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = checked_rate(rate)

    @property
    def position(self) -> float:
        """Seconds of what was written, at its own tempo, that were heard since the start.

        What `stop` dropped does not count.
        """
        with self._changed:
            return self._heard(time.perf_counter()) / self._sample_rate

    @property
    def paused(self) -> bool:
        """Whether sound is held back."""
        return self._paused

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
        with self._changed:
            epoch = self._epoch
            for start in range(0, len(sound), self._portion):
                self._check()
                while self._queued >= QUEUED * max(1.0, self._rate) * self._sample_rate:
                    self._changed.wait()
                    self._check()
                    if epoch != self._epoch:
                        return
                some = sound[start : start + self._portion].copy()
                self._queue.append(some)
                self._queued += len(some)
                self._ending = False
                self._changed.notify_all()

    def drain(self) -> None:
        """Returns when all that was written has been heard, or another thread stops the player.

        While the player is paused it waits.

        Raises:
            PlaybackError: the device has failed for good, or the player is not open.
        """
        with self._changed:
            self._check()
            self._ending = True
            self._changed.notify_all()
        self._until(lambda: self._error is not None or self._drained())
        with self._changed:
            self._check()

    def pause(self) -> None:
        """Holds the sound back, until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Goes on where `pause` held the sound back; nothing is lost."""
        self._paused = False

    def stop(self) -> None:
        """Drops what is queued. The sound ceases within a tenth of a second, without a click.

        Returns at once. What is written from now on is played.
        """
        with self._changed:
            self._epoch += 1
            self._queue.clear()
            self._queued = 0
            self._ending = False
            self._changed.notify_all()

    # In the threads of the callers.

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if not self._open:
            raise PlaybackError("the player is not open; use it in a with statement")

    def _until(self, ready: Callable[[], bool], most: float = float("inf")) -> None:
        latest = time.monotonic() + most
        while not ready() and time.monotonic() < latest:
            time.sleep(TICK)

    def _drained(self) -> bool:
        with self._changed:
            if not self._ending:
                return True  # stopped, or somebody goes on writing
            if self._queue or not self._ended or self._made != self._taken:
                return False
            return self._heard(time.perf_counter()) >= self._source - 0.5

    def _heard(self, now: float) -> float:
        """Samples heard until now; forgets when earlier ones were. For who has the lock."""
        marks = self._marks
        while len(marks) > 1 and marks[1].start <= now:
            marks.popleft()
        if not marks:
            return self._source
        mark = marks[0]
        share = (now - mark.start) / max(mark.end - mark.start, 1e-9)
        return mark.first + min(max(share, 0.0), 1.0) * mark.source

    # In the feeder's thread.

    def _feed(self) -> None:
        try:
            while not self._closing:
                if self._gone.is_set() or self._watch.hangs(self._calls):
                    self._reconnect()
                elif not self._feed_some():
                    with self._changed:
                        if not self._closing:
                            soon = self._queue or (self._ending and not self._ended)
                            self._changed.wait(TICK if soon else 10 * TICK)
        except BaseException as error:  # not lost: whoever writes or waits meets it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _feed_some(self) -> bool:
        """Makes a piece, if it is time to and there is something to make it from."""
        with self._changed:
            epoch = self._epoch
            if epoch != self._fed_epoch:
                self._fed_epoch = epoch
                self._begin_anew()
            if self._made - self._taken >= AHEAD * self._stream_rate:
                return False
            some: list[Samples] = []
            while self._queue and sum(map(len, some)) + len(self._queue[0]) <= self._portion:
                some.append(self._queue.popleft())
            sound = np.concatenate(some) if some else np.zeros(0, dtype=np.float32)
            last = self._ending and not self._queue
            if not some and (self._ended or not last):
                return False
            self._queued -= len(sound)
            self._ended = False
            self._fed.append((self._fed_count, sound))
            self._fed_count += len(sound)
            if epoch == self._epoch_taken:
                heard = self._heard(time.perf_counter()) - self._epoch_source
                while self._fed and self._fed[0][0] + len(self._fed[0][1]) <= heard:
                    self._fed.popleft()
            self._changed.notify_all()
        piece = self._make(sound, epoch, last)
        with self._changed:
            if epoch == self._epoch and (last or len(piece.samples)):
                self._ready.append(piece)
                self._made += len(piece.samples)
                self._ended = last
        return True

    def _make(self, sound: Samples, epoch: int, last: bool) -> _Piece:
        """Stretches and resamples (N,) at the player's rate → (M,) at the device's."""
        rate = self._rate
        ratio = self._stream_rate / self._sample_rate
        sound = self._stretch.process(sound, rate, last)
        if self._resample is not None:
            self._late += len(sound) * ratio
            sound = self._resample.resample_chunk(sound, last)
            self._late -= len(sound)
        held = max(0.0, self._stretch.held) + max(0.0, self._late) * rate / ratio
        if last:
            held = self._late = 0.0
            if self._resample is not None:
                self._resample.clear()
        # What they hold stands for samples too; the rest is spread over this piece.
        source = max(0.0, self._fed_count - self._given - held) if last or len(sound) else 0.0
        self._given += source
        return _Piece(sound, source, epoch, last)

    def _begin_anew(self) -> None:
        """Forgets all of the speech that was being fed."""
        self._fed.clear()
        self._fed_count = 0
        self._given = self._late = 0.0
        self._ended = True
        self._stretch.reset()
        if self._resample is not None:
            self._resample.clear()

    def _reconnect(self) -> None:
        """Goes on with the default device, from the first sample that was not heard.

        Raises:
            PlaybackError: there is none for some seconds.
        """
        self._disconnect(play_out=False)
        self._rewind()
        while not self._closing:
            with self._changed:
                self._changed.wait_for(lambda: self._closing, 10 * TICK)
            patient = self._watch.patient()
            try:
                restart()
                self._connect(None)
            except PlaybackError:
                if not patient:
                    raise
            else:
                if patient:
                    return
                # It can be opened, but every time it goes away again.
                self._disconnect(play_out=False)
                raise PlaybackError(f"the output device plays nothing any more; {_REMEDY}")

    def _rewind(self) -> None:
        """Puts back what was not heard when the device went away. There is no stream now."""
        with self._changed:
            self._source = self._heard(self._called)
            self._marks.clear()
            self._ready.clear()
            self._made = self._taken = self._offset = 0
            self._gain = self._level = 0.0
            if self._epoch_taken != self._epoch:
                self._epoch_taken = self._epoch
                self._epoch_source = self._source
                self._speaking = False
            self._again = self._speaking
            self._speaking = self._dry = False
            begun = max(0, int(self._source - self._epoch_source))
            self._source = self._epoch_source + begun
            if self._fed_epoch == self._epoch:
                fed = [some[max(0, begun - first) :] for first, some in self._fed]
                self._queue.extendleft(reversed([some for some in fed if len(some)]))
                self._queued += sum(map(len, fed))
            self._fed_epoch = self._epoch
            self._begin_anew()
            self._epoch_source = self._source
            self._ended = False

    # The stream.

    def _connect(self, device: int | None) -> None:
        """Opens and starts the stream.

        Raises:
            PlaybackError: there is no such device, or it does not play.
        """
        sounddevice = _sounddevice()
        entry = output() if device is None else sounddevice.query_devices(device)
        # Mono would be refused by some devices, and come from the left only on others.
        channels = min(2, entry["max_output_channels"])
        rate = self._sample_rate
        try:
            sounddevice.check_output_settings(device=device, channels=channels, samplerate=rate)
        except sounddevice.PortAudioError:
            # Any other complaint than the rate comes up again below, with its reason.
            rate = int(entry["default_samplerate"])
        self._resample = None
        if rate != self._sample_rate:
            self._resample = soxr.ResampleStream(self._sample_rate, rate, 1, dtype="float32")
        self._stream_rate = rate
        self._size_block()
        self._gone = threading.Event()
        self._called = time.perf_counter()
        try:
            self._stream = sounddevice.OutputStream(
                samplerate=rate,
                blocksize=len(self._block),
                device=device,
                channels=channels,
                dtype="float32",
                latency=LATENCY,
                callback=self._callback,
                finished_callback=self._gone.set,
            )
            self._latency = self._stream.latency
            self._stream.start()
        except sounddevice.PortAudioError as error:
            self._disconnect(play_out=False)
            raise PlaybackError(f"{entry['name']} does not play ({error}); {_REMEDY}") from error

    def _disconnect(self, play_out: bool) -> None:
        """Closes the stream, if there is one, whatever state it is in."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        for end in (stream.stop if play_out else stream.abort, stream.close):
            with contextlib.suppress(_sounddevice().PortAudioError):
                end()

    def _size_block(self) -> None:
        """Makes room for what one callback gives the device."""
        frames = round(BLOCK * self._stream_rate)
        self._block = np.zeros(frames, dtype=np.float32)
        self._rise: Samples = (np.arange(1, frames + 1) / frames).astype(np.float32)
        # Where the sound breaks off, its last value fades, not stops.
        self._tail: Samples = np.exp(-5 * self._rise).astype(np.float32)

    # In PortAudio's thread: nothing here waits, and hardly anything is allocated.

    def _callback(self, out: Samples, frames: int, times: Any, status: Any) -> None:
        """Gives the device its next frames: out: (frames, channels)."""
        now = time.perf_counter()
        if status.output_underflow:
            self.underruns += 1
        block = self._block[:frames]
        if self._epoch_taken != self._epoch:
            self._cut(block)
        elif self._paused:
            self._hold(block)
        else:
            delay = times.outputBufferDacTime - times.currentTime
            if not times.currentTime or not 0 <= delay < 10:  # some drivers cannot tell
                delay = self._latency
            self._play(block, now + delay)
        out[:] = block[:, None]
        self._called = now
        self._calls += 1

    def _play(self, block: Samples, heard: float) -> None:
        """Fills the block with what is ready; it is heard from `heard` on."""
        count = self._copy(block)
        if count:
            if not self._speaking and not self._again:
                self._gain = self._volume  # speech begins as it was written, without a fade
            elif self._dry:
                self.waits += 1
            self._speaking, self._dry, self._again = True, False, False
            self._fade(block[:count], self._volume)
        first = self._source
        self._take(count)
        if self._source > first:
            end = heard + count / self._stream_rate
            self._marks.append(_Mark(heard, end, first, self._source - first))
        self._taken += count
        if count == len(block):
            return
        if self._speaking:
            self._dry, self._gain = True, 0.0
        rest = len(block) - count
        np.multiply(self._tail[:rest], self._level, out=block[count:])
        self._level = float(block[-1]) if abs(block[-1]) > 1e-4 else 0.0

    def _hold(self, block: Samples) -> None:
        """Fades out, then is silent. The faded samples are not taken: they fade in again later."""
        if not self._speaking:
            self._gain = 0.0
        block[self._copy(block) :] = self._level
        self._fade(block, 0.0)

    def _cut(self, block: Samples) -> None:
        """Fades out what was stopped, and drops it."""
        epoch = self._epoch
        block[self._copy(block) :] = self._level
        if not self._speaking:
            self._gain = 0.0
        self._fade(block, 0.0)
        while self._ready and self._ready[0].epoch < epoch:
            self._taken += len(self._ready.popleft().samples) - self._offset
            self._offset = 0
        self._speaking = self._dry = False
        self._epoch_source = self._source
        self._epoch_taken = epoch

    def _fade(self, block: Samples, volume: float) -> None:
        """Goes over to a volume within the block."""
        if self._gain != volume:
            block *= self._gain + (volume - self._gain) * self._rise[: len(block)]
            self._gain = volume
        elif volume != 1.0:
            block *= volume
        self._level = float(block[-1])

    def _copy(self, block: Samples) -> int:
        """Copies what comes next to the beginning of the block; gives how much there was."""
        count, offset = 0, self._offset
        for index in range(len(self._ready)):
            piece = self._ready[index]
            if piece.epoch != self._epoch_taken or count == len(block):
                break
            some = piece.samples[offset : offset + len(block) - count]
            block[count : count + len(some)] = some
            count += len(some)
            offset = 0
        return count

    def _take(self, count: int) -> None:
        """Moves on by `count` frames, and past the pieces that end there."""
        while self._ready and self._ready[0].epoch == self._epoch_taken:
            piece = self._ready[0]
            size = len(piece.samples)
            some = min(count, size - self._offset)
            self._source += piece.source * (some / size if size else 1.0)
            count -= some
            self._offset += some
            if self._offset < size:
                return
            self._offset = 0
            if piece.last:
                self._speaking = self._dry = False
                self._level = 0.0
            self._ready.popleft()


class _Watch:
    """Notices a device that does not play, though PortAudio says nothing."""

    def __init__(self) -> None:
        self._calls = 0
        self._looked = time.monotonic()
        self._still = 0.0
        self._since: float | None = None  # when a device that plays was last missed
        self._sure = 0

    def hangs(self, calls: int) -> bool:
        """Whether the callback was not called for long. Must be asked often."""
        now = time.monotonic()
        # A process that was suspended looks late itself.
        elapsed, self._looked = min(now - self._looked, 0.2), now
        self._still = 0.0 if calls != self._calls else self._still + elapsed
        self._calls = calls
        if self._since is not None and calls > self._sure:
            self._since = None
        if self._still < HUNG:
            return False
        self._still = 0.0
        return True

    def patient(self) -> bool:
        """Whether to try again to open a device. A second of sound gives new patience."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._sure = self._calls + int(1 / BLOCK)
        self._still = 0.0
        return now - self._since < PATIENCE


def output() -> dict[str, Any]:
    """What PortAudio says of the default output device.

    Raises:
        PlaybackError: there is no PortAudio library or no output device.
    """
    sounddevice = _sounddevice()
    try:
        device: dict[str, Any] = sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise PlaybackError(f"this machine has no output device for sound; {_REMEDY}") from error
    return device


def devices() -> list[Device]:
    """The output devices, the default one marked.

    Raises:
        PlaybackError: there is no PortAudio library.
    """
    default = _sounddevice().default.device[1]
    return [
        Device(entry["name"], int(entry["default_samplerate"]), index == default)
        for index, entry in _outputs().items()
    ]


def _outputs() -> dict[int, dict[str, Any]]:
    """What PortAudio says of the output devices, by index."""
    entries = enumerate(_sounddevice().query_devices())
    return {index: entry for index, entry in entries if entry["max_output_channels"] > 0}


def _find(device: str | int | None) -> int | None:
    """The index of an output device, from its index, its name or a part of one.

    Raises:
        PlaybackError: there is no PortAudio library or no such device.
    """
    if device is None:
        return None
    found = _outputs()
    if str(device).isdecimal() and int(device) in found:
        return int(device)
    names = {index: entry["name"] for index, entry in found.items()}
    asked = str(device).casefold()
    for index, name in names.items():
        if name.casefold() == asked:
            return index
    for index, name in names.items():
        if isinstance(device, str) and asked and asked in name.casefold():
            return index
    there = ", ".join(f"{index}: {name}" for index, name in names.items())
    remedy = f"there are {there}" if there else _REMEDY
    raise PlaybackError(f"there is no output device {device!r}; {remedy}")


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


def restart() -> None:
    """Starts PortAudio anew: it looks for devices only then.

    This ends every stream of the process; here the only one that is known of has failed.
    """
    sounddevice = _sounddevice()
    try:
        sounddevice._terminate()
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise PlaybackError(f"sound cannot be played ({error}); {_REMEDY}") from error


def _sounddevice() -> ModuleType:
    """The sounddevice module; imported late, since it starts PortAudio."""
    try:
        import sounddevice
    except OSError as error:  # on Linux its wheel comes without the library
        raise PlaybackError(
            f"sound cannot be played ({error}); install PortAudio (apt install libportaudio2), "
            f"or {_REMEDY}"
        ) from error
    module: ModuleType = sounddevice
    return module
