"""Speed, pitch and volume of speech as it comes: int16 (N,) → int16 (about N / speed,).

A pitch is moved by playing faster or slower and taking the tempo back, so the throat seems to grow
or shrink with it: a few semitones sound natural, more do not.
"""

from __future__ import annotations

import numpy as np

from spark_mlx.speechd.protocol import Pcm

_FULL = 32767.0


class Shaper:
    """One message's shape; at the voice's own speed, pitch and loudness nothing is changed.

    Args:
        rate: of the samples, in Hz.
        speed: times the voice's own.
        pitch: times the voice's own.
        gain: 1 is as it comes.
    """

    def __init__(
        self, rate: int, speed: float = 1.0, pitch: float = 1.0, gain: float = 1.0
    ) -> None:
        self.rate = rate
        self._gain = gain
        self._plain = speed == pitch == 1.0
        if self._plain:
            return
        # Not needed at the voice's own speed, and half of the module's start.
        import soxr

        from spark_mlx.audio.time_stretch import FASTEST, SLOWEST, Stretch

        self._tempo = min(FASTEST, max(SLOWEST, speed / pitch))
        self._stretch = Stretch(rate)
        self._resample = None
        if pitch != 1.0:
            self._resample = soxr.ResampleStream(rate * pitch, rate, 1, dtype="float32")

    def process(self, samples: Pcm, last: bool = False) -> Pcm:
        """Takes a stretch, gives what is finished; `last` gives the rest as well."""
        if self._plain:
            return samples if self._gain == 1.0 else _to_pcm(samples * np.float32(self._gain))
        floats = samples.astype(np.float32)
        if self._resample is not None:
            floats = self._resample.resample_chunk(floats, last=last)
        shaped = self._stretch.process(floats, self._tempo, last)
        return _to_pcm(shaped * np.float32(self._gain))


def tone(rate: int, hertz: float = 880.0, seconds: float = 0.06) -> Pcm:
    """A short beep, such as goes before a capital letter."""
    time = np.arange(int(rate * seconds)) / rate
    fade = np.minimum(1.0, np.minimum(time, seconds - time) / 0.01)
    return _to_pcm(0.2 * _FULL * fade * np.sin(2 * np.pi * hertz * time))


def silence(rate: int, seconds: float) -> Pcm:
    return np.zeros(int(rate * seconds), dtype=np.int16)


def pcm(samples: np.ndarray) -> Pcm:
    """int16 from samples of full scale -1 … 1."""
    return _to_pcm(samples * np.float32(_FULL))


def _to_pcm(samples: np.ndarray) -> Pcm:
    clipped: Pcm = np.clip(np.rint(samples), -_FULL, _FULL).astype(np.int16)
    return clipped
