"""An ear among known sentences: which of some renderings is this sound nearest to?

samples (N,) at 16 kHz → features (F, 24) → the nearest of some references, by dynamic time warping.
Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import labels

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms, every 10 ms
BANDS, LOW, HIGH = 40, 100.0, 7000.0  # of the mel spectrum, in Hz
CEPSTRA = 12  # from the second on: the first is loudness
FLOOR_DB = 60.0  # below the loudest band of a clip nothing is told apart
FRAMES, BAND = 120, 12  # of what is warped, and how far it may be warped


def mfcc(samples: npt.ArrayLike) -> Floats:
    """samples (N,) at 16 kHz, any scale → features (F, 24), F = 1 + (N - 400) // 160.

    12 mel cepstra and their slopes over 5 frames, each with mean 0 and variance 1 over the clip's
    own speech, so that neither a voice's colour nor its loudness counts. Silence at the ends is
    left out.
    """
    x = np.asarray(samples, dtype=np.float64)
    start, end = labels.speech_span(x)
    x = np.pad(x[start:end], (0, max(0, WINDOW - (end - start))))
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 @ _mel_bands()
    floor = max(float(power.max()), 1e-20) * 10 ** (-FLOOR_DB / 10)
    cepstra = np.log(np.maximum(power, floor)) @ _cosines()
    padded = np.pad(cepstra, ((2, 2), (0, 0)), mode="edge")
    n = len(cepstra)
    slopes = sum(k * (padded[2 + k :][:n] - padded[2 - k :][:n]) for k in (1, 2)) / 10
    features = np.concatenate([cepstra, slopes], axis=1)
    deviation: Floats = features - features.mean(axis=0)
    return deviation / np.maximum(deviation.std(axis=0), 1e-9)


def distances(features: Floats, references: Sequence[Floats]) -> Floats:
    """features (F, C), references of (F_r, C) each → how far each one is (R,).

    All are stretched to 120 frames first, so that how fast someone speaks does not count; dynamic
    time warping then finds the way through the rest. Steps are Sakoe and Chiba's symmetric ones
    (1978, P = 0: a diagonal step counts twice) within 12 frames of the diagonal. All references are
    warped at once, an anti-diagonal at a time.
    """
    mine = _stretched(features)
    others = np.stack([_stretched(reference) for reference in references])  # (R, FRAMES, C)
    # The two before the next anti-diagonal: column `BAND + i - j` belongs to frames i and j.
    width = 2 * BAND + 1
    last = np.full((len(others), width + 2), np.inf)
    before = last.copy()
    before[:, BAND + 1] = 0.0  # where the first diagonal step comes from
    for d in range(2 * FRAMES - 1):
        apart = np.arange(-BAND, BAND + 1)
        apart = apart[(apart + d) % 2 == 0]
        i, j = (d + apart) // 2, (d - apart) // 2
        inside = (i >= 0) & (j >= 0) & (i < FRAMES) & (j < FRAMES)
        i, j, at = i[inside], j[inside], apart[inside] + BAND + 1
        cost = np.sqrt(np.sum((mine[i] - others[:, j]) ** 2, axis=2))
        here = np.full_like(last, np.inf)
        sideways = np.minimum(last[:, at - 1], last[:, at + 1]) + cost
        here[:, at] = np.minimum(sideways, before[:, at] + 2 * cost)
        before, last = last, here
    nearness: Floats = last[:, BAND + 1] / (2 * FRAMES)
    return nearness


def _stretched(features: Floats) -> Floats:
    """(F, C) → (FRAMES, C), in between frames where need be."""
    at = np.linspace(0, len(features) - 1, FRAMES)
    left = np.minimum(at.astype(np.intp), max(len(features) - 2, 0))
    right = np.minimum(left + 1, len(features) - 1)
    weight = (at - left)[:, None]
    stretched: Floats = (1 - weight) * features[left] + weight * features[right]
    return stretched


@lru_cache(maxsize=1)
def _mel_bands() -> Floats:
    """Triangles of equal area in mel, (FFT // 2 + 1, BANDS)."""
    mels = np.linspace(float(labels.mel(LOW)), float(labels.mel(HIGH)), BANDS + 2)
    at = np.asarray(labels.mel(np.fft.rfftfreq(FFT, 1 / labels.RATE)))[:, None]
    left, middle, right = mels[:-2], mels[1:-1], mels[2:]
    rising, falling = (at - left) / (middle - left), (right - at) / (right - middle)
    bands: Floats = np.maximum(np.minimum(rising, falling), 0.0)
    return bands / np.maximum(bands.sum(axis=0), 1e-9)


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """The discrete cosine transform without its first row, (BANDS, CEPSTRA)."""
    place = (np.arange(BANDS) + 0.5)[:, None] * np.arange(1, CEPSTRA + 1)
    waves: Floats = np.cos(np.pi / BANDS * place)
    return waves
