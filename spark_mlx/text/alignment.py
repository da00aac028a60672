"""A text on its way, and where each of its characters stands in the text that was given.

Cleaning and writing out change a text; what is spoken is still to be shown in the words of the
one who wrote it. Knows nothing of what the changes mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]  # first character, and the one after the last


@dataclass(frozen=True)
class Placed:
    """A text with its places.

    Attributes:
        text: as it is by now.
        starts, ends: for each of its characters, the characters `starts[i]` to `ends[i]` of the
            text it comes from, in order and without overlap. Some come from nowhere, such as a
            space that was put in: there the two are equal.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def whole(cls, text: str) -> Placed:
        """A text that nothing has changed yet."""
        return cls(text, range(len(text)), range(1, len(text) + 1))

    def span(self, start: int, end: int) -> Span:
        """Where the characters `start` to `end`, at least one, come from."""
        return self.starts[start], self.ends[end - 1]

    def replace(self, replacements: Iterable[tuple[int, int, str]]) -> Placed:
        """The text with some of its characters, from one index to another, replaced by others.

        What stands in for several characters is spread over them evenly, so that a long address
        may be cut in two and each half knows its part.

        Args:
            replacements: in order and without overlap.
        """
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for start, end, new in replacements:
            parts += [self.text[done:start], new]
            starts += self.starts[done:start]
            ends += self.ends[done:start]
            edges = _spread(new, *self.span(start, end))
            starts += edges[:-1]
            ends += edges[1:]
            done = end
        return Placed(
            "".join([*parts, self.text[done:]]),
            [*starts, *self.starts[done:]],
            [*ends, *self.ends[done:]],
        )


def _spread(text: str, start: int, end: int) -> list[int]:
    """The edges between the characters of `text`, which come from `start` to `end` together.

    Only what has a sound gets a share: what stands between may be lost where a text is cut.
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
