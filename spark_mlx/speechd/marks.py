"""When the marks of a text are due, while its sound is still being made.

marks, and where the sound has got to → the marks that belong before it

A mark between two sentences is exact. Within a sentence only its place among the characters is
known, and how long the sentence will be is guessed from how long the ones before it were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from spark_mlx.speechd.ssml import Mark
from spark_mlx.text.alignment import Span

# Seconds of speech for a character, to begin with: some 15 a second; a Chinese one is a syllable.
SECONDS = 0.065
_SYLLABLE = 3.5


class Pace:
    """How long a voice takes for a character; outlives a message."""

    def __init__(self) -> None:
        self._factor = 1.0

    def guess(self, text: str) -> float:
        """Seconds that a text will take."""
        return _weight(text) * SECONDS * self._factor

    def learn(self, text: str, seconds: float) -> None:
        """Takes in how long a text took."""
        if (weight := _weight(text)) > 10 and seconds > 0:
            found = min(4.0, max(0.25, seconds / (weight * SECONDS)))
            self._factor += 0.4 * (found - self._factor)


class Due:
    """The marks of one text, in order; each is given once.

    Args:
        text: the text they stand in.
    """

    def __init__(self, text: str, marks: Iterable[Mark], pace: Pace) -> None:
        self._text = text
        self._marks = deque(marks)
        self._pace = pace
        self._sentence: int | None = None
        self._span: Span = (0, 0)
        self._seconds = 0.0  # of this sentence, until now
        self._guess = 0.0

    def before(self, span: Span, sentence: int) -> Iterator[str]:
        """The names of the marks that are due before the next sound of a sentence."""
        if sentence != self._sentence or span != self._span:
            self._learn()
            self._sentence, self._span, self._seconds = sentence, span, 0.0
            self._guess = self._pace.guess(self._text[span[0] : span[1]])
        start, end = span
        passed = self._seconds / self._guess if self._guess > 0 else 1.0
        reached = start + passed * (end - start)
        # A mark at the very end waits for the sentence's last sound.
        while self._marks and self._marks[0].position <= min(reached, max(start, end - 1)):
            yield self._marks.popleft().name

    def heard(self, seconds: float) -> None:
        """So much of the sentence's sound is out."""
        self._seconds += seconds

    def rest(self) -> Iterator[str]:
        """What is left when the text has been spoken."""
        self._learn()
        while self._marks:
            yield self._marks.popleft().name

    def _learn(self) -> None:
        if self._sentence is not None:
            self._pace.learn(self._text[self._span[0] : self._span[1]], self._seconds)
            self._sentence = None


def _weight(text: str) -> float:
    """The characters of a text, each counted by how much of it is spoken."""
    return sum(_SYLLABLE if c >= "\u2e80" else 1.0 for c in text)
