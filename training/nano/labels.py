"""What a clip of speech is labelled with: gender, pitch and speed, each as a level and a value.

samples (N,) at 16 kHz → F0 per frame in Hz → their mean, in mel; espeak-ng's phonemes → syllables,
and with the seconds spoken a rate. Knows nothing of files and models, but for its thresholds.

The values and their ranges are those of the Spark-TTS paper (arXiv 2503.01710) and of the tokens
`pitch_value_0` … `pitch_value_1000` and `speed_value_0` … `speed_value_10` of the published
tokenizer: pitch as the mel of the mean F0, speed as syllables a second. The paper's five levels
are quantiles; here they are those of this corpus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

RATE = 16_000  # Hz
LEVELS = ("very_low", "low", "moderate", "high", "very_high")
QUANTILES = (0.2, 0.4, 0.6, 0.8)

HOP = RATE // 100  # 10 ms between frames of F0
WINDOW = RATE // 25  # 40 ms are compared with what comes a period later
LOWEST, HIGHEST = 50.0, 500.0  # Hz
_SHORTEST, _LONGEST = int(RATE / HIGHEST), int(RATE / LOWEST)  # periods, in samples
_FFT = 1024  # holds WINDOW + _LONGEST, so that no correlation wraps around
# A correlation below this is no voice; vowels of espeak-ng reach 0.9 and more.
VOICED = 0.7
# A period is the shortest lag that correlates nearly as well as the best; its multiples are others.
_NEARLY = 0.93
QUIET_DB = 35.0  # a frame so far below the loudest has no pitch worth a name
SILENT_DB = 50.0  # and one so far below it is silence
MARGIN = RATE // 20  # 50 ms of silence stay at either end of a clip

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

_VOWEL = re.compile("[aeiouyæøœɐɑɒɔəɚɛɜɝɨɪʉʊʌᵻ]|[lmnɹ]̩")  # the last: a consonant as a syllable


@dataclass(frozen=True)
class Thresholds:
    """Where the levels part: four rising numbers between five levels.

    pitch_mel: for each gender, in mel; speed: in syllables a second.
    """

    pitch_mel: Mapping[str, tuple[float, ...]]
    speed: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Thresholds:
        """From what `to_dict` gave."""
        pitch = {gender: tuple(edges) for gender, edges in values["pitch_mel"].items()}
        return cls(pitch, tuple(values["speed"]))

    @classmethod
    def fit(cls, genders: Sequence[str], f0: Sequence[float], rates: Sequence[float]) -> Thresholds:
        """The quintiles of a corpus: pitch for each gender by itself, speed for all.

        Args: for each clip its gender, its mean F0 in Hz, its syllables a second.
        """
        mels = mel(np.asarray(f0))
        which = np.asarray(genders)
        pitch = {gender: _edges(mels[which == gender]) for gender in sorted(set(genders))}
        return cls(pitch, _edges(np.asarray(rates)))

    def pitch_label(self, gender: str, f0: float) -> str:
        """The level of a mean F0 in Hz."""
        return LEVELS[int(np.searchsorted(self.pitch_mel[gender], mel(f0), side="right"))]

    def speed_label(self, rate: float) -> str:
        """The level of a rate in syllables a second."""
        return LEVELS[int(np.searchsorted(self.speed, rate, side="right"))]


def mel(hertz: npt.ArrayLike) -> Floats:
    """Hz → mel, 2595 · log10(1 + f / 700)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, dtype=np.float64) / 700.0)


def pitch_value(f0: float) -> int:
    """A mean F0 in Hz → mel, a whole number from 0 to 1000."""
    return int(np.clip(np.rint(mel(f0)), 0, 1000))


def speed_value(rate: float) -> int:
    """Syllables a second → a whole number from 0 to 10."""
    return int(np.clip(np.rint(rate), 0, 10))


def syllables(phonemes: str) -> int:
    """Counts the syllables of what `espeak-ng --ipa --sep=_` writes.

    A syllable is a phoneme with a vowel letter in it, so a diphthong (aɪ) or triphthong (aɪə) that
    espeak-ng takes for one sound is one. Marks of a change of language, as in (fr), do not count.
    """
    sounds = re.split(r"[_\s]+", re.sub(r"\([^)]*\)", " ", phonemes))
    return sum(1 for sound in sounds if _VOWEL.search(sound))


def speech_span(samples: npt.ArrayLike) -> tuple[int, int]:
    """samples (N,) → where the sound begins and ends, in samples; (0, 0) in silence.

    To 10 ms: the first and last that are less than 50 dB below the loudest.
    """
    x = np.asarray(samples, dtype=np.float64)
    blocks = np.pad(x, (0, -len(x) % HOP)).reshape(-1, HOP)
    power = np.mean(blocks**2, axis=1)
    if not power.any():
        return 0, 0
    loud = np.flatnonzero(power >= power.max() * 10 ** (-SILENT_DB / 10))
    return int(loud[0]) * HOP, min((int(loud[-1]) + 1) * HOP, len(x))


def trim(samples: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], float]:
    """samples (N,) → the same with at most 50 ms of silence at either end, and the seconds spoken.

    The seconds are those from the first sound to the last: without the silence that is left.
    """
    start, end = speech_span(samples)
    first, last = kept(samples)
    return samples[first:last], (end - start) / RATE


def kept(samples: npt.NDArray[Any]) -> tuple[int, int]:
    """The part of samples (N,) that `trim` leaves: its first sample, and the one after its last."""
    start, end = speech_span(samples)
    return max(start - MARGIN, 0), min(end + MARGIN, len(samples))


def f0_track(samples: npt.ArrayLike) -> Floats:
    """samples (N,) at 16 kHz, any scale → F0 in Hz every 10 ms (1 + N // 160,), 0 without voice.

    Normalised cross-correlation: each 40 ms are compared with those one lag later, for all lags of
    50 to 500 Hz. The period is the shortest lag at a peak of at least 0.93 of the highest, which
    keeps clear of its multiples; a parabola through three points refines it. A frame whose F0 is
    1.7 times the median of the clip or more, or its inverse or less, takes the best peak within
    those bounds instead, and is unvoiced if that correlates below 0.7.
    """
    x = np.asarray(samples, dtype=np.float64)
    x = x - x.mean() if len(x) else x
    length = WINDOW + _LONGEST + 1
    padded = np.pad(x, (length // 2, length))
    starts = np.arange(1 + len(x) // HOP) * HOP
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[starts]  # (F, length)
    r = _correlation(frames)  # (F, lags from _SHORTEST - 1 to _LONGEST + 1)
    power = np.mean(frames[:, :WINDOW] ** 2, axis=1)
    loud = power > power.max() * 10 ** (-QUIET_DB / 10)

    inner = r[:, 1:-1]
    peaks = np.where((inner >= r[:, :-2]) & (inner > r[:, 2:]), inner, -1.0)
    best = peaks.max(axis=1, initial=-1.0)
    voiced = loud & (best >= VOICED)
    chosen = np.argmax(peaks >= _NEARLY * np.maximum(best, 0.0)[:, None], axis=1)
    f0 = np.where(voiced, RATE / _refine(r, chosen), 0.0)
    if not voiced.any():
        return f0

    median = float(np.median(f0[voiced]))
    lags = np.arange(_SHORTEST, _LONGEST + 1)
    near = np.where(np.abs(np.log(RATE / lags / median)) < np.log(1.7), peaks, -1.0)
    again = np.argmax(near, axis=1)
    off = voiced & (np.abs(np.log(np.maximum(f0, 1.0) / median)) >= np.log(1.7))
    back = off & (near.max(axis=1) >= VOICED)
    return np.where(back, RATE / _refine(r, again), np.where(off, 0.0, f0))


def mean_f0(samples: npt.ArrayLike) -> float:
    """samples (N,) at 16 kHz → the mean F0 of the voiced frames in Hz, 0 if there are none."""
    track = f0_track(samples)
    return float(track[track > 0].mean()) if (track > 0).any() else 0.0


def _correlation(frames: Floats) -> Floats:
    """frames (F, WINDOW + _LONGEST + 1) → correlations (F, lags), -1 … 1, all lags wanted ± 1."""
    head = np.fft.rfft(frames[:, :WINDOW], _FFT)
    whole = np.fft.rfft(frames, _FFT)
    lags = slice(_SHORTEST - 1, _LONGEST + 2)
    cross = np.fft.irfft(np.conj(head) * whole, _FFT)[:, lags]
    sums = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = sums[:, WINDOW:] - sums[:, :-WINDOW]  # (F, _LONGEST + 2), of the 40 ms at each lag
    scale = np.sqrt(np.maximum(energy[:, :1] * energy[:, lags], 0.0))
    return np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 1e-9 * sums[:, -1:])


def _refine(r: Floats, peaks: npt.NDArray[np.intp]) -> Floats:
    """Peaks (F,) of r's inner columns → lags in samples, by a parabola through the neighbours."""
    rows = np.arange(len(r))
    left, middle, right = (r[rows, peaks + i] for i in range(3))
    bend = left - 2.0 * middle + right
    shift = np.divide(0.5 * (left - right), bend, out=np.zeros_like(bend), where=bend < -1e-12)
    return _SHORTEST + peaks + np.clip(shift, -0.5, 0.5)


def _edges(values: Floats) -> tuple[float, ...]:
    """The four quintile borders, to four decimals."""
    return tuple(round(float(edge), 4) for edge in np.quantile(values, QUANTILES))
