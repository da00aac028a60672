"""Speech faster and slower: lengths, pitch, seams, and nothing at all at rate 1."""

from __future__ import annotations

import numpy as np
import pytest

from spark_mlx.audio import files
from spark_mlx.audio.files import Samples
from spark_mlx.audio.time_stretch import Stretch

RATE = 16_000
RATES = (0.5, 0.8, 0.97, 1.03, 1.25, 1.5, 2.0, 3.0)


def stretched(sound: Samples, rate: float, *sizes: int) -> Samples:
    """The sound at another tempo, given in chunks of these sizes, over and over."""
    stretch, parts, start = Stretch(RATE), [], 0
    while start < len(sound):
        size = sizes[len(parts) % len(sizes)] if sizes else len(sound)
        parts.append(stretch.process(sound[start : start + size], rate))
        start += size
    parts.append(stretch.process(sound[:0], rate, last=True))
    assert stretch.held == 0
    return np.concatenate(parts)


def tone(frequency: float, seconds: float = 2.0) -> Samples:
    """(N,) of half the full scale."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def pitch(sound: Samples) -> float:
    """The strongest frequency, in Hz."""
    size = 8 * len(sound)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))
    return float(np.argmax(spectrum) * RATE / size)


@pytest.fixture(scope="module")
def speech() -> Samples:
    """Noise in syllables, four a second, and a pause."""
    random = np.random.default_rng(5)
    time = np.arange(4 * RATE) / RATE
    sound = random.standard_normal(len(time)) * np.sin(np.pi * 4 * time) ** 2 * 0.1
    sound[2 * RATE : 3 * RATE] = 0
    return sound.astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_length(speech: Samples, rate: float) -> None:
    for sound in (speech, speech[:9_000], speech[:700]):
        assert len(stretched(sound, rate, 320)) == pytest.approx(len(sound) / rate, abs=2)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frequency", [60, 85, 130.8, 220, 440, 1_000, 3_100])
def test_a_tone_keeps_its_pitch_and_has_no_clicks(frequency: float, rate: float) -> None:
    sound = stretched(tone(frequency), rate, 320)
    assert pitch(sound) == pytest.approx(frequency, rel=0.01)
    inner = sound[: -RATE // 20]  # a tone that ends anywhere ends with a click, as it was given
    assert np.abs(np.diff(inner)).max() < 1.1 * np.abs(np.diff(tone(frequency))).max()
    loud = [np.sqrt(np.mean(part**2)) for part in np.array_split(inner, len(inner) // 800)]
    assert min(loud) > 0.3  # of 0.35: nothing is cancelled where parts meet


def test_nothing_happens_at_rate_1(speech: Samples) -> None:
    np.testing.assert_array_equal(stretched(speech, 1.0, 1, 1_000, 7), speech)


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.7, 3.0])
def test_chunks_make_no_difference(speech: Samples, rate: float) -> None:
    whole = stretched(speech, rate)
    np.testing.assert_array_equal(stretched(speech, rate, 1, 3, 1_000, 320), whole)


def test_syllables_keep_their_order_and_their_places(speech: Samples) -> None:
    for rate in RATES:
        sound = stretched(speech, rate, 320)
        [(begin, end)] = files.silences(sound, RATE, seconds=0.5 / rate)
        assert begin / RATE * rate == pytest.approx(2.0, abs=0.1)
        assert end / RATE * rate == pytest.approx(3.0, abs=0.1)


def test_the_rate_changes_in_the_middle() -> None:
    sound, stretch, parts = tone(200, 4.0), Stretch(RATE), []
    quarter = RATE
    for index, rate in enumerate((1.0, 2.0, 1.0, 0.5)):
        for start in range(index * quarter, (index + 1) * quarter, 320):
            parts.append(stretch.process(sound[start : start + 320], rate))
    parts.append(stretch.process(sound[:0], 0.5, last=True))
    found = np.concatenate(parts)
    assert len(found) == pytest.approx(RATE * (1 + 0.5 + 1 + 2), rel=0.02)
    assert np.abs(np.diff(found)).max() < 1.1 * np.abs(np.diff(sound)).max()
    np.testing.assert_array_equal(found[:RATE], sound[:RATE])


def test_it_holds_little_back() -> None:
    stretch, sound = Stretch(RATE), tone(200)
    assert len(stretch.process(sound, 1.0)) == len(sound)
    assert stretch.held == 0
    for rate in (0.5, 1.5, 3.0):
        for start in range(0, len(sound), 320):
            stretch.process(sound[start : start + 320], rate)
            assert stretch.held <= 0.12 * RATE


def test_reset_forgets() -> None:
    stretch = Stretch(RATE)
    stretch.process(tone(200), 1.5)
    stretch.reset()
    assert stretch.held == 0
    assert not stretch.process(tone(200)[:0], 1.5, last=True).size
