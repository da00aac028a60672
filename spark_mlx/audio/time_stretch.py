"""Speech faster or slower at its own pitch: samples (N,) as they come → samples (about N / rate,).

WSOLA (Verhelst and Roelands, 1993) with one change: between two splices the input is copied, not
windowed, so that nothing at all happens to it at rate 1. Knows nothing of players or devices.

Written here since no library does it: pedalboard is under the GPL; python-stretch (Signalsmith)
begins anew with every call, so that chunks do not fit together; audiotsm is no longer kept;
audiostretchy takes whole files and has a library for Linux on x86-64 only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spark_mlx.audio.files import Samples

SLOWEST, FASTEST = 0.5, 3.0
# Words a minute that the voice's own speed stands for, as in macOS's say.
OWN_SPEED = 180

# Seconds. A splice every `HOP` of output, over `FADE`, at the place that fits best up to `SEARCH`
# from where it should be. 2 x SEARCH holds a period of the deepest voice (50 Hz).
HOP = 0.020
FADE = 0.010
SEARCH = 0.010


class Stretch:
    """Speech at another tempo, chunk by chunk.

    Args:
        sample_rate: in Hz.

    Attributes:
        held: how many samples (of the input) are still to come, a fraction included; 0 after the
            last ones.
    """

    def __init__(self, sample_rate: int) -> None:
        self._hop = round(HOP * sample_rate)
        self._fade = round(FADE * sample_rate)
        self._search = round(SEARCH * sample_rate)
        rise = np.sin(np.linspace(0, np.pi / 2, self._fade, endpoint=False)) ** 2
        self._rise = rise.astype(np.float32)
        # Among equals, as in a pause, the place where it should be is the best.
        self._bias = 1e-3 * np.abs(np.linspace(-1, 1, 2 * self._search + 1)) ** 2
        self.reset()

    def reset(self) -> None:
        """Forgets what it holds."""
        self._input: Samples = np.zeros(0, dtype=np.float32)
        self._next = 0  # in `_input`: where copying goes on
        self._due = 0.0  # in `_input`: where it should go on, to keep the tempo

    @property
    def held(self) -> float:
        return len(self._input) - self._due

    def process(self, samples: Samples, rate: float, last: bool = False) -> Samples:
        """Takes (N,), gives what is finished: (M,), at rate 1 the very samples.

        Args:
            rate: seconds of input for a second of output, 0.5 … 3.
            last: nothing follows, so give what is held too; the next call begins anew.
        """
        self._input = np.concatenate((self._input, samples)) if len(self._input) else samples
        parts: list[Samples] = []
        if rate == 1.0:
            if self._next < len(self._input):
                parts.append(self._input[self._next :])
                self._due += len(self._input) - self._next
                self._next = len(self._input)
        else:
            end = len(self._input)
            if last:
                nothing = np.zeros(self._search + 2 * self._hop, dtype=np.float32)
                self._input = np.concatenate((self._input, nothing))
            while self._ready(end, rate, last):
                parts.append(self._splice())
                self._due += self._hop * rate
            if last and parts:
                extra = int((self._due - end) / rate)
                parts[-1] = parts[-1][: max(0, self._hop - extra)]
        self._forget()
        if last:
            self.reset()
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def _ready(self, end: int, rate: float, last: bool) -> bool:
        """Whether there is enough input for another hop."""
        if last:
            return self._due < end
        going, around = self._next + self._fade, self._due + self._search + self._hop + 1
        return max(going, around, self._due + self._hop * rate) <= end

    def _splice(self) -> Samples:
        """A hop: from where copying would go on, over to where it should go on."""
        going = self._at(self._next, self._fade)
        place = self._place(going)
        hop = self._at(place, self._hop).copy()
        hop[: self._fade] = going + self._rise * (hop[: self._fade] - going)
        self._next = place + self._hop
        return hop

    def _place(self, going: Samples) -> int:
        """Where, around the place that is due, the input is most like how it would go on."""
        first = round(self._due) - self._search
        around = self._at(first, 2 * self._search + self._fade).astype(np.float64)
        alike = np.correlate(around, going.astype(np.float64), "valid")
        energy = _windowed_energy(around, self._fade)
        alike = alike / np.sqrt(energy * float(np.dot(going, going)) + 1e-9)
        return first + int(np.argmax(alike - self._bias))

    def _at(self, place: int, count: int) -> Samples:
        """`count` samples of the input from `place` on; nothing is before and after it."""
        before, found = max(0, -place), self._input[max(0, place) : max(0, place + count)]
        if len(found) == count:
            return found
        padded = np.zeros(count, dtype=np.float32)
        padded[before : before + len(found)] = found
        return padded

    def _forget(self) -> None:
        """Drops the input that nothing goes back to."""
        done = min(self._next, int(self._due) - self._search)
        if done > 0:
            self._input = self._input[min(done, len(self._input)) :]
            self._next -= done
            self._due -= done


def _windowed_energy(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """The energy of every `width` values: (N,) → (N - width + 1,)."""
    sums = np.concatenate(([0.0], np.cumsum(values**2)))
    energy: npt.NDArray[np.float64] = np.maximum(sums[width:] - sums[:-width], 0.0)
    return energy
