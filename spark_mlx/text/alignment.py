"""Alignment of a changed text with the text it comes from.

str → `AlignedText`, which keeps the place of every character while white space is tidied and
numbers are written out in words. Knows nothing of what the changes mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]  # the first character, and the one after the last


@dataclass(frozen=True)
class AlignedText:
    """A text whose characters know their places in the caller's text.

    Attributes:
        text: the text after the changes made so far.
        starts, ends: for each of its characters, the characters `starts[i]` to `ends[i]` of the
            caller's text, in order and without overlap. The two are equal for a character that was
            inserted, such as a space.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def unchanged(cls, text: str) -> AlignedText:
        """Align a text with itself."""
        return cls(text, range(len(text)), range(1, len(text) + 1))

    def span(self, start: int, end: int) -> Span:
        """Return the place of the characters `start` to `end`, at least one."""
        return self.starts[start], self.ends[end - 1]

    def replace(self, replacements: Iterable[tuple[int, int, str]]) -> AlignedText:
        """Replace the characters from one index to another, and keep the alignment.

        The place of the replaced characters is shared evenly among the new ones, so that a long
        address may be cut in two and each half knows its part.

        Args:
            replacements: (start, end, new text), in order and without overlap.
        """
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for start, end, new in replacements:
            parts += [self.text[done:start], new]
            starts += self.starts[done:start]
            ends += self.ends[done:start]
            edges = _share(new, *self.span(start, end))
            starts += edges[:-1]
            ends += edges[1:]
            done = end
        return AlignedText(
            "".join([*parts, self.text[done:]]),
            [*starts, *self.starts[done:]],
            [*ends, *self.ends[done:]],
        )


def _share(text: str, start: int, end: int) -> list[int]:
    """Return the edges between the characters of `text`, which share the place `start` to `end`.

    Only letters and digits get a share: what stands between may be lost where a text is cut.
    """
    shares = [c.isalnum() for c in text]
    if not any(shares):
        return [start, *[end] * len(text)]
    total = sum(shares)
    edges = [start]
    passed = 0
    for share in shares:
        passed += share
        edges.append(start + passed * (end - start) // total)
    return edges
