"""Columns of a terminal: the width of a text, and wrapping it to lines.

A Chinese character takes two columns and a combining mark none; a mark stays with its letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wcwidth import wcwidth

from spark_mlx.text.alignment import Span

# Signs that may not begin a line, and those that may not end one, in Chinese as in English.
_NOT_FIRST = frozenset("，。、；：？！）》〉」』】〕”’…—·,.;:?!)]}%")
_NOT_LAST = frozenset("（《〈「『【〔“‘([{")
_WORD = re.compile(
    r"[^\S\n]+|[^\s\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f"
    r"\uff00-\uff60\U00020000-\U0003ffff]+|\n|."
)


def _width(c: str) -> int:
    return max(0, wcwidth(c))  # -1 for control characters


def width(text: str) -> int:
    """Columns that a text takes on one line."""
    return len(text) if text.isascii() else sum(map(_width, text))


def fit(text: str, columns: int) -> str:
    """Cut a text to some columns, with an ellipsis in place of the rest."""
    if width(text) <= columns:
        return text
    return "".join(text[slice(*next(_pieces(text, 0, max(1, columns - 1))))]) + "…"


def wrap(text: str, columns: int) -> list[Span]:
    """Break a text into lines between words, and within a word longer than a line.

    Returns:
        The first character of each line and the one after its last, without the white space at
        the break. At least one line.
    """
    lines: list[Span] = []
    start = end = used = 0  # the line so far: `end` is after its last word
    waiting = 0  # columns of the white space after it
    for word, columns_of_word in _words(text):
        first, last = word
        if text[first] == "\n":
            lines.append((start, end))
            start = end = last
            used = waiting = 0
        elif text[first].isspace():
            if end > start:
                waiting = columns_of_word
            else:
                start = end = last
        elif used + waiting + columns_of_word <= columns:
            end, used, waiting = last, used + waiting + columns_of_word, 0
        else:
            if end > start:
                lines.append((start, end))
            *whole, (start, end) = _pieces(text[:last], first, columns)
            lines += whole
            used, waiting = width(text[start:end]), 0
    return [*lines, (start, end)]


def _words(text: str) -> Iterator[tuple[Span, int]]:
    """Unbreakable spans and their widths: words, Chinese characters with their punctuation."""
    held: Span | None = None
    for match in _WORD.finditer(text):
        first, last = match.span()
        c = text[first]
        if held is not None:
            gap = c.isspace() or text[held[0]].isspace()
            if not gap and (c in _NOT_FIRST or text[held[1] - 1] in _NOT_LAST or not _width(c)):
                held = held[0], last
                continue
            yield held, width(text[slice(*held)])
        held = first, last
    if held is not None:
        yield held, width(text[slice(*held)])


def _pieces(text: str, start: int, columns: int) -> Iterator[Span]:
    """Cut a word into pieces that fit on a line, each at least a character with its marks."""
    used = 0
    for i in range(start, len(text)):
        wide = _width(text[i])
        if used and used + wide > columns:
            yield start, i
            start, used = i, 0
        used += wide
    yield start, len(text)
