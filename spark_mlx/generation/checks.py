"""Checks of an answer: how long it may be, whether its sound can be used, how often to retry.

text → the bounds of its tokens; samples (N,) → those to use and their fault. A language model that
samples its tokens may run on, fall silent or say nothing. Knows nothing of how the sound was made.
"""

from __future__ import annotations

import enum

import numpy as np

from spark_mlx.audio import files
from spark_mlx.audio.files import Samples
from spark_mlx.text import expected_seconds

# The official code never writes more; it is a minute of speech.
MAX_TOKENS = 3000
# No word is shorter than this, so an answer cannot end before it: 0.16 s.
MIN_TOKENS = 8
# An answer may last this many times the expected seconds of its text, and so many seconds more.
LENGTH_MARGIN, LENGTH_SLACK = 3.0, 2.0
# Silence within speech that no speaker makes, in seconds, and what is left of it.
LONGEST_SILENCE, KEPT_SILENCE = 3.0, 0.5
# How often a faulty answer is drawn again, each time with the next seed.
RETRIES = 2


class Fault(str, enum.Enum):
    """A fault of an answer; its value begins a warning."""

    SILENCE = "nothing but silence"
    LONG_SILENCE = f"more than {LONGEST_SILENCE:g} s of silence"
    NO_END = "no end, and was cut off,"

    def warning(self, text: str, attempts: int = RETRIES + 1, longest: int = 40) -> str:
        """Describe the fault of the last of so many attempts to speak a text."""
        shown = text if len(text) <= longest else text[: longest - 1] + "…"
        return f"{self.value} in {shown!r}" + (f", {attempts} times" if attempts > 1 else "")


def max_tokens(text: str, tokens_per_second: float) -> int:
    """Return the most semantic tokens that speaking a text may take."""
    seconds = LENGTH_SLACK + LENGTH_MARGIN * expected_seconds(text)
    return min(MAX_TOKENS, int(seconds * tokens_per_second))


def examine(samples: Samples, sample_rate: int, ended: bool) -> tuple[Samples, Fault | None]:
    """Shorten long silences in (N,); return the samples to use, and their fault if there is one.

    Args:
        ended: whether the model ended the answer itself.
    """
    silences = files.silences(samples, sample_rate, seconds=0)
    if not len(samples) or silences == [(0, len(samples))]:
        return samples[:0], Fault.SILENCE
    kept, longest = (int(seconds * sample_rate) for seconds in (KEPT_SILENCE, LONGEST_SILENCE))
    keep = np.ones(len(samples), dtype=bool)
    for start, end in silences:
        if end - start > longest:
            keep[start + kept : end] = False
    if not keep.all():
        return samples[keep], Fault.LONG_SILENCE
    return samples, None if ended else Fault.NO_END
