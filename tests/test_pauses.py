"""Pauses between pieces: as long as they should be, with the silence that is there already."""

from __future__ import annotations

import numpy as np
import pytest

from spark_mlx.generation.pauses import LONGEST, PAUSES, is_silent, pause
from spark_mlx.text.segmentation import Boundary

RATE = 16_000
TONE = 0.3 * np.sin(np.arange(RATE) * 0.3).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def test_the_stronger_the_longer() -> None:
    assert 0 < PAUSES[Boundary.CLAUSE] < PAUSES[Boundary.SENTENCE] < PAUSES[Boundary.PARAGRAPH]
    assert PAUSES[Boundary.PARAGRAPH] == LONGEST


@pytest.mark.parametrize("boundary", Boundary)
@pytest.mark.parametrize(("before", "after"), [(0, 0), (0.06, 0.04), (0.5, 0), (0, 2)])
def test_silence_that_is_there_counts(boundary: Boundary, before: float, after: float) -> None:
    first = np.concatenate([TONE, quiet(before)])
    second = np.concatenate([quiet(after), TONE])
    silence = pause(first, second, boundary, RATE)
    assert silence.dtype == np.float32
    assert not silence.any()
    missing = max(0, PAUSES[boundary] - before - after)
    assert len(silence) / RATE == pytest.approx(missing, abs=0.021)


def test_is_silent() -> None:
    assert is_silent(quiet(0.5), RATE)
    assert is_silent(quiet(0), RATE)
    assert not is_silent(np.concatenate([quiet(0.5), TONE]), RATE)
