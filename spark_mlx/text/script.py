"""A text of any length, spoken from any place: passages forwards, sentences in both directions.

text, place → `Passage`s to be spoken one after another, and the places of their sentences. Cutting
a text into passages is cheap, and a passage is cut into sentences only when it is reached, so a
whole book begins as fast as a line. Knows no model. Any thread may ask.
"""

from __future__ import annotations

import bisect
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from spark_mlx.errors import TextError
from spark_mlx.text.alignment import Span
from spark_mlx.text.segmentation import Boundary, sentence_spans
from spark_mlx.text.tidy import check_speakable, is_speakable

LONGEST_PASSAGE = 1500  # characters: cut into sentences in some 5 ms

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
# Where a long passage is cut, the best first, and the boundary between the two parts.
_CUTS = (
    (re.compile(r"""[.!?…。！？][\])"'”’»」』）》]*[^\S\n]*\n\s*"""), Boundary.PARAGRAPH),
    (re.compile(r"""(?:[.!?…][\])"'”’»]*\s+|[。！？][」』）》”’]*\s*)"""), Boundary.SENTENCE),
    (re.compile(r"\s+|[，；：、]"), Boundary.CLAUSE),
)


@dataclass(frozen=True)
class Passage:
    """A part of a text that is spoken by one call.

    Attributes:
        start, end: its first character, and the one after its last.
        boundary: the boundary after it.
    """

    start: int
    end: int
    boundary: Boundary


class Script:
    """A text and a place to begin at.

    Args:
        text: of any length.
        start: the character to begin at.

    Attributes:
        text: as given.
        start: as given, but within the text.

    Raises:
        TextError: there is nothing to say.
    """

    def __init__(self, text: str, start: int = 0) -> None:
        self.text = text
        self.start = max(0, min(start, len(text)))
        check_speakable(text)
        if not is_speakable(text[self.start :]):
            raise TextError(f"there is nothing to say after character {start}; begin before it")
        self._passages = _passages(self.text)
        self._starts = [passage.start for passage in self._passages]
        self._sentences: dict[int, list[Span]] = {}
        self._lock = threading.RLock()
        # Numbers of first sentences, of the passages from `_low` to `_high`. The sentence at
        # `start` has number 0, whatever comes before it: counting all that would take its time.
        self._low = self._high = self._passage_at(self.start)
        self._numbers = {self._low: 0}
        self._numbers = {self._low: -self.number_at(self.start)}

    def number_at(self, character: int) -> int:
        """Return the number of the sentence at a character, or of the last one before it.

        Sentences are numbered from the one at `start`, 0; those before it are negative.
        """
        with self._lock:
            index = self._passage_at(character)
            self._reach(index)
            starts = [span[0] for span in self._spans(index)]
            return self._numbers[index] + max(0, bisect.bisect_right(starts, character) - 1)

    def sentence(self, number: int) -> tuple[int, Span] | None:
        """Return the number and place of a sentence: the first for any number before it, None
        after the last."""
        with self._lock:
            while number < self._numbers[self._low] and self._low > 0:
                self._reach(self._low - 1)
            while number >= self._after(self._high):
                if self._high == len(self._passages) - 1:
                    return None
                self._reach(self._high + 1)
            number = max(number, self._numbers[self._low])
            for index in range(self._low, self._high + 1):
                spans = self._spans(index)
                if 0 <= number - self._numbers[index] < len(spans):
                    return number, spans[number - self._numbers[index]]
        raise AssertionError("the sentences of neighbouring passages are numbered in a row")

    def passages(self, character: int) -> Iterator[Passage]:
        """Yield the passages from a character on; those with nothing to say are left out."""
        for index in range(self._passage_at(character), len(self._passages)):
            passage = self._passages[index]
            start = max(character, passage.start)
            if is_speakable(self.text[start : passage.end]):
                yield Passage(start, passage.end, passage.boundary)

    def _passage_at(self, character: int) -> int:
        return max(0, bisect.bisect_right(self._starts, character) - 1)

    def _after(self, index: int) -> int:
        """Return the number of the first sentence after a passage."""
        return self._numbers[index] + len(self._spans(index))

    def _reach(self, index: int) -> None:
        """Number the sentences of the passages up to one."""
        while self._high < index:
            self._numbers[self._high + 1] = self._after(self._high)
            self._high += 1
        while self._low > index:
            self._low -= 1
            count = len(self._spans(self._low))
            self._numbers[self._low] = self._numbers[self._low + 1] - count

    def _spans(self, index: int) -> list[Span]:
        """Return the places of the sentences of a passage, in order."""
        if index not in self._sentences:
            passage = self._passages[index]
            part = self.text[passage.start : passage.end]
            self._sentences[index] = [
                (passage.start + start, passage.start + end)
                for start, end in (sentence_spans(part) if is_speakable(part) else [])
            ]
        return self._sentences[index]


def _passages(text: str) -> list[Passage]:
    """Cut a text into passages; put together they are the text."""
    found: list[Passage] = []
    start = 0
    for end in [*(m.end() for m in _BLANK_LINES.finditer(text)), len(text)]:
        while end - start > LONGEST_PASSAGE:
            cut, boundary = _cut(text, start)
            found.append(Passage(start, cut, boundary))
            start = cut
        if end > start:
            found.append(Passage(start, end, Boundary.PARAGRAPH))
        start = end
    return found


def _cut(text: str, start: int) -> tuple[int, Boundary]:
    """Find where a long passage that begins at `start` is best cut."""
    window = text[start : start + LONGEST_PASSAGE]
    for pattern, boundary in _CUTS:
        ends = [m.end() for m in pattern.finditer(window)]
        if ends and ends[-1] > LONGEST_PASSAGE // 4:
            return start + ends[-1], boundary
    return start + len(window), Boundary.CLAUSE
