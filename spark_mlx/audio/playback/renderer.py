"""Fills the blocks that a device asks for: pieces of sound → its next frames.

What cannot wait is done here: volume, pause and stop. PortAudio calls it in a thread of its own,
where nothing waits, and hardly anything is allocated. Knows nothing of queues and devices.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from spark_mlx.audio.files import Samples

BLOCK = 0.01  # seconds of sound for one callback, and how long a fade lasts


@dataclass(frozen=True)
class Piece:
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


class Renderer:
    """Gives the device what is ready, and knows what was heard when.

    Args:
        rate: of the device, in Hz.

    Attributes:
        volume, paused: set by others, as in the player.
        epoch: set by others, how often the player was stopped: what is older is dropped.
        rate, latency: of the stream: Hz, and seconds that it says sound takes to the ear.
        block: room for what one callback gives the device.
        underruns, waits: counted, as in the player.
        calls, called: how often the device asked for a block, and when it did last.
        source: samples, of what was written, that stand for what was taken.
        epoch_taken, epoch_source: the epoch that is played, and the source where it began.
    """

    def __init__(self, rate: int) -> None:
        self.volume = 1.0
        self.paused = False
        self.epoch = 0
        self.latency = 0.0
        self.underruns = 0
        self.waits = 0

        # From the feeder, which appends, to the callback, which takes: safe without a lock.
        self._ready: deque[Piece] = deque()
        self._made = self._taken = 0  # frames, by each of the two

        # The callback's own; others only read them, or set them while there is no stream.
        self.calls = 0
        self.called = 0.0
        self.source = 0.0
        self.epoch_taken = 0
        self.epoch_source = 0.0
        self._marks: deque[_Mark] = deque(maxlen=1000)
        self._offset = 0  # frames taken of the first piece
        self._gain = 1.0
        self._level = 0.0  # the last sample given to the device
        self._speaking = False
        self._dry = False  # it broke off
        self._again = False  # it goes on in its middle, on another device
        self.prepare(rate)

    # In other threads.

    def prepare(self, rate: int) -> None:
        """Makes room for what one callback gives a device of `rate` Hz. There is no stream now."""
        self.rate = rate
        frames = round(BLOCK * rate)
        self.block = np.zeros(frames, dtype=np.float32)
        self._rise: Samples = (np.arange(1, frames + 1) / frames).astype(np.float32)
        # Where the sound breaks off, its last value fades, not stops.
        self._tail: Samples = np.exp(-5 * self._rise).astype(np.float32)

    def add(self, piece: Piece) -> None:
        """Appends a piece."""
        self._ready.append(piece)
        self._made += len(piece.samples)

    @property
    def waiting(self) -> int:
        """Frames that are ready and not taken."""
        return self._made - self._taken

    def heard(self, now: float) -> float:
        """Samples heard until now; forgets when earlier ones were. For who has the lock."""
        marks = self._marks
        while len(marks) > 1 and marks[1].start <= now:
            marks.popleft()
        if not marks:
            return self.source
        mark = marks[0]
        share = (now - mark.start) / max(mark.end - mark.start, 1e-9)
        return mark.first + min(max(share, 0.0), 1.0) * mark.source

    def rewind(self) -> int:
        """Goes back to what was not heard when the device went away, and forgets what is ready.

        There is no stream now.

        Returns:
            How many samples of the epoch were heard.
        """
        self.source = self.heard(self.called)
        self._marks.clear()
        self._ready.clear()
        self._made = self._taken = self._offset = 0
        self._gain = self._level = 0.0
        if self.epoch_taken != self.epoch:
            self.epoch_taken = self.epoch
            self.epoch_source = self.source
            self._speaking = False
        self._again = self._speaking
        self._speaking = self._dry = False
        begun = max(0, int(self.source - self.epoch_source))
        self.source = self.epoch_source + begun
        self.epoch_source = self.source
        return begun

    # In PortAudio's thread.

    def callback(self, out: Samples, frames: int, times: Any, status: Any) -> None:
        """Gives the device its next frames: out: (frames, channels)."""
        now = time.perf_counter()
        if status.output_underflow:
            self.underruns += 1
        block = self.block[:frames]
        if self.epoch_taken != self.epoch:
            self._cut(block)
        elif self.paused:
            self._hold(block)
        else:
            delay = times.outputBufferDacTime - times.currentTime
            if not times.currentTime or not 0 <= delay < 10:  # some drivers cannot tell
                delay = self.latency
            self._play(block, now + delay)
        out[:] = block[:, None]
        self.called = now
        self.calls += 1

    def _play(self, block: Samples, heard: float) -> None:
        """Fills the block with what is ready; it is heard from `heard` on."""
        count = self._copy(block)
        if count:
            if not self._speaking and not self._again:
                self._gain = self.volume  # speech begins as it was written, without a fade
            elif self._dry:
                self.waits += 1
            self._speaking, self._dry, self._again = True, False, False
            self._fade(block[:count], self.volume)
        first = self.source
        self._take(count)
        if self.source > first:
            end = heard + count / self.rate
            self._marks.append(_Mark(heard, end, first, self.source - first))
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
        epoch = self.epoch
        block[self._copy(block) :] = self._level
        if not self._speaking:
            self._gain = 0.0
        self._fade(block, 0.0)
        while self._ready and self._ready[0].epoch < epoch:
            self._taken += len(self._ready.popleft().samples) - self._offset
            self._offset = 0
        self._speaking = self._dry = False
        self.epoch_source = self.source
        self.epoch_taken = epoch

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
            if piece.epoch != self.epoch_taken or count == len(block):
                break
            some = piece.samples[offset : offset + len(block) - count]
            block[count : count + len(some)] = some
            count += len(some)
            offset = 0
        return count

    def _take(self, count: int) -> None:
        """Moves on by `count` frames, and past the pieces that end there."""
        while self._ready and self._ready[0].epoch == self.epoch_taken:
            piece = self._ready[0]
            size = len(piece.samples)
            some = min(count, size - self._offset)
            self.source += piece.source * (some / size if size else 1.0)
            count -= some
            self._offset += some
            if self._offset < size:
                return
            self._offset = 0
            if piece.last:
                self._speaking = self._dry = False
                self._level = 0.0
            self._ready.popleft()
