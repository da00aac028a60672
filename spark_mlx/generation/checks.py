"""Checks of an answer: how long it may be, whether its sound can be used, how often to retry.

text → the bounds of its tokens; samples (N,) → those to use and their fault. A language model that
samples its tokens may run on, fall silent or say nothing. Knows nothing of how the sound was made.
"""

from __future__ import annotations

import enum

import numpy as np

from spark_mlx.audio import files
from spark_mlx.audio.files import Samples
from spark_mlx.text import expected_seconds, syllables

# The official code never writes more; it is a minute of speech.
MAX_TOKENS = 3000
# No word is shorter than this, so an answer cannot end before it: 0.16 s.
MIN_TOKENS = 8
# Seconds to a syllable, as `syllables` counts them; with less, words are missing. Of 22 sentences,
# espeak-ng at 360 words a minute (twice its normal rate, and faster than nano ever heard) takes at
# least 0.080 with any, at 320 0.090 and at 175 0.149; nano in its fastest voices 0.080, and in its
# presets 0.119. Answers of nano that had lost words had 0.03 to 0.075.
MIN_SYLLABLE = 0.08
# An answer may last this many times the expected seconds of its text, and so many seconds more.
LENGTH_MARGIN, LENGTH_SLACK = 3.0, 2.0
# Silence within speech that no speaker makes, in seconds, and what is left of it.
LONGEST_SILENCE, KEPT_SILENCE = 3.0, 0.5
# Attempts at an answer, each with the next seed, until one has no fault.
ATTEMPTS = 3


class Fault(str, enum.Enum):
    """A fault of an answer; its value begins a warning."""

    SILENCE = "nothing but silence"
    LONG_SILENCE = f"more than {LONGEST_SILENCE:g} s of silence"
    SHORT = "too little speech for the words"
    NO_END = "no end, and was cut off,"

    def warning(self, text: str, attempts: int = ATTEMPTS, longest: int = 40) -> str:
        """Describe the fault of the last of so many attempts to speak a text."""
        shown = text if len(text) <= longest else text[: longest - 1] + "…"
        return f"{self.value} in {shown!r}" + (f", {attempts} times" if attempts > 1 else "")


def max_tokens(text: str, tokens_per_second: float) -> int:
    """Return the most semantic tokens that speaking a text may take."""
    seconds = LENGTH_SLACK + LENGTH_MARGIN * expected_seconds(text)
    return min(MAX_TOKENS, int(seconds * tokens_per_second))


def min_seconds(text: str) -> float:
    """Return the fewest seconds in which every word of a text can be spoken."""
    return MIN_SYLLABLE * syllables(text)


def min_tokens(text: str, tokens_per_second: float) -> int:
    """Return the fewest semantic tokens in which every word of a text can be spoken."""
    return max(MIN_TOKENS, int(min_seconds(text) * tokens_per_second))


def sounding_seconds(samples: Samples, sample_rate: int) -> float:
    """Measure how long (N,) is without the silence at its ends and the long ones in between."""
    silent = sum(
        end - start
        for start, end in files.silences(samples, sample_rate, seconds=0)
        if start == 0 or end == len(samples) or end - start > KEPT_SILENCE * sample_rate
    )
    return (len(samples) - silent) / sample_rate


def examine(
    samples: Samples, sample_rate: int, ended: bool, shortest: float = 0.0
) -> tuple[Samples, Fault | None]:
    """Shorten long silences in (N,); return the samples to use, and their fault if there is one.

    Args:
        ended: whether the model ended the answer itself.
        shortest: seconds of speech that the words take at least.
    """
    silences = files.silences(samples, sample_rate, seconds=0)
    if not len(samples) or silences == [(0, len(samples))]:
        return samples[:0], Fault.SILENCE
    if sounding_seconds(samples, sample_rate) < shortest:
        return samples, Fault.SHORT
    kept, longest = (int(seconds * sample_rate) for seconds in (KEPT_SILENCE, LONGEST_SILENCE))
    keep = np.ones(len(samples), dtype=bool)
    for start, end in silences:
        if end - start > longest:
            keep[start + kept : end] = False
    if not keep.all():
        return samples[keep], Fault.LONG_SILENCE
    return samples, None if ended else Fault.NO_END
