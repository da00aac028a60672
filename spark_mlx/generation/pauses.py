"""Pauses: the silence between two pieces of speech, as far as they do not bring it themselves.

samples (N,) before and after, and the boundary between them → samples (M,). Knows nothing of
models.
"""

from __future__ import annotations

import numpy as np

from spark_mlx.audio import files
from spark_mlx.audio.files import Samples
from spark_mlx.text import Boundary

# Seconds from the last sound to the next. Pauses of people who read aloud fall in three groups:
# under 0.2 s, between 0.2 and 1 s, and above 1 s (Campione and Véronis, 2002).
PAUSES = {
    # Inside a sentence, where it was cut only for its length: of the brief ones, or it would
    # sound like an end.
    Boundary.CLAUSE: 0.15,
    # In the lower middle of the second group: a breath, and the listener knows that it goes on.
    Boundary.SENTENCE: 0.4,
    # Near the top of the second group: heard as a new beginning, not yet as the end.
    Boundary.PARAGRAPH: 0.8,
}
LONGEST = max(PAUSES.values())


def pause(before: Samples, after: Samples, boundary: Boundary, rate: int) -> Samples:
    """Make the silence to put between two pieces, maybe none: their own silence counts.

    Args:
        before: the end of the one piece; its last `LONGEST` seconds are enough.
        after: the beginning of the next, of the same length or up to its first sound.
        rate: Hz.
    """
    silent = _quiet(before[::-1], rate) + _quiet(after, rate)
    missing = int(PAUSES[boundary] * rate) - silent
    return np.zeros(max(0, missing), dtype=np.float32)


def is_silent(samples: Samples, rate: int) -> bool:
    """Whether there is nothing to hear in (N,)."""
    return _quiet(samples, rate) == len(samples)


def _quiet(samples: Samples, rate: int) -> int:
    """Count the samples of near silence that (N,) begins with."""
    stretches = files.silences(samples, rate, seconds=0)
    return stretches[0][1] if stretches and stretches[0][0] == 0 else 0


class Joiner:
    """Insert the missing silence between pieces of speech that come in chunks.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._kept = int(LONGEST * rate)
        self.reset()

    def reset(self) -> None:
        """Begin anew: no silence belongs before the next chunk."""
        self._tail: Samples = np.zeros(0, dtype=np.float32)
        self._boundary: Boundary | None = None

    def end(self, boundary: Boundary) -> None:
        """Note what follows the piece. Of pieces without sound the greatest boundary counts."""
        if len(self._tail):
            self._boundary = max(boundary, self._boundary or boundary)

    def before(self, samples: Samples) -> Samples:
        """Silence to put before a chunk (N,), maybe none; keeps the chunk's end for the next."""
        if not len(samples):
            return samples
        silence = samples[:0]
        if self._boundary is not None:
            silence = pause(self._tail, samples, self._boundary, self._rate)
            self._tail, self._boundary = self._tail[:0], None
        self._tail = np.concatenate([self._tail, samples])[-self._kept :]
        return silence
