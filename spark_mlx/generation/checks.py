"""What keeps an answer on the rails: how long it may be, and whether its sound can be used.

A language model that draws its words may run on, fall silent or say nothing. Knows nothing of how
the sound was made.
"""

from __future__ import annotations

import numpy as np

from spark_mlx.audio import files
from spark_mlx.audio.files import Samples
from spark_mlx.text import expected_seconds

# The official code never writes more; it is a minute of speech.
MOST_TOKENS = 3000
# Nothing anyone says is shorter than this, so an answer cannot end before it: 0.16 s.
FEWEST_TOKENS = 8
# An answer may last this many times what its text should, and so many seconds more.
LENGTH_MARGIN, LENGTH_SLACK = 3.0, 2.0
# Silence within speech that no speaker makes, in seconds, and what is left of it.
LONGEST_SILENCE, KEPT_SILENCE = 3.0, 0.5
# How often an answer that cannot be used is drawn again with the next seed.
RETRIES = 2


def most_tokens(piece: str, tokens_per_second: float) -> int:
    """The most semantic tokens that saying a piece of text can take."""
    seconds = LENGTH_SLACK + LENGTH_MARGIN * expected_seconds(piece)
    return min(MOST_TOKENS, int(seconds * tokens_per_second))


def examine(samples: Samples, sample_rate: int, ended: bool) -> tuple[Samples, str | None]:
    """What of an answer's samples (N,) can be used, and what is wrong with them, if anything.

    Args:
        ended: whether the model ended the answer itself.
    """
    silences = files.silences(samples, sample_rate, seconds=0)
    if not len(samples) or silences == [(0, len(samples))]:
        return samples[:0], "nothing but silence"
    kept, longest = (int(seconds * sample_rate) for seconds in (KEPT_SILENCE, LONGEST_SILENCE))
    keep = np.ones(len(samples), dtype=bool)
    for start, end in silences:
        if end - start > longest:
            keep[start + kept : end] = False
    if not keep.all():
        return samples[keep], f"more than {LONGEST_SILENCE:g} s of silence"
    if not ended:
        return samples, "no end, and was cut off,"
    return samples, None
