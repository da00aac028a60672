"""Lines of PDF pages → paragraphs.

A PDF holds characters at positions, no paragraphs. They follow from the space between lines, their
indents, their ends and the size of their letters. Lines that repeat at the edge of the pages, and
page numbers, are left out; a word divided at the end of a line is joined.
"""

from __future__ import annotations

import collections
import itertools
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from spark_mlx.reader.documents import Block
from spark_mlx.reader.formats.plaintext import joint

_EDGE_LINES = 3  # lines at the top and at the bottom of a page that may belong to its edge
_REPEATS = 3  # pages on which a line stands that is a header or a footer
_HEADING = 1.15  # times the size of the text
_LONGEST_HEADING = 150  # characters
_PAGE_NUMBER = re.compile(
    r"\W*(?:page|p\.|seite|第)?\s*(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of|von)\s*\d{1,4})?\s*页?\W*",
    re.IGNORECASE,
)
_LONGEST_NUMBER = 40  # characters of a line with a page number
_LONGEST_WORD = 100  # characters of a word that may be divided at the end of a line
_DIGITS = re.compile(r"\d+")
_DIVIDED = re.compile(r"[^\W\d_]+[-\u00ad\u2010\ufffe\x02]$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ITEM = re.compile(r"[•‣◦▪–*-]\s|\(?\d{1,2}[.)]\s")
_SENTENCE_END = re.compile(r"[.!?…:。！？：][\"'”’)\]』」）]*$")


@dataclass(frozen=True)
class Line:
    """A line of a page: its text, the edges of its letters in points, and their size."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    size: float


def without_edges(pages: list[list[Line]]) -> list[list[Line]]:
    """Drop headers, footers and page numbers."""
    counts: collections.Counter[str] = collections.Counter()
    for page in pages:
        counts.update({_pattern(line) for line in _edge(page)})
    repeated = {text for text, count in counts.items() if count >= min(_REPEATS, len(pages))}
    kept = []
    for page in pages:
        edge = set(map(id, _edge(page)))
        outermost = {id(line) for line in (*page[:1], *page[-1:])}
        kept.append(
            [
                line
                for line in page
                if not (
                    (len(pages) > 1 and id(line) in edge and _pattern(line) in repeated)
                    or (
                        id(line) in outermost
                        and len(line.text) <= _LONGEST_NUMBER
                        and _PAGE_NUMBER.fullmatch(line.text)
                    )
                )
            ]
        )
    return kept


def paragraphs(pages: list[list[Line]]) -> Iterator[Block]:
    """Join the lines of pages to paragraphs, across pages too."""
    lines = [line for page in pages for line in page]
    if not lines:
        return
    sizes = collections.Counter[float]()
    for line in lines:
        sizes[round(line.size, 1)] += len(line.text)
    usual = sizes.most_common(1)[0][0]
    words = set(_WORD.findall("\n".join(line.text for line in lines)))
    step = _step(pages)
    text = ""
    level = 0
    last: Line | None = None
    for page in pages:
        for line in page:
            if last is not None and _ends(last, line, text, _right(page, last), step):
                yield Block(text, level)
                last = None
            if last is None:
                text = line.text
                level = _level(line, usual)
            else:
                text = _join(text, line.text, words)
            last = line
    yield Block(text, level)


def _ends(last: Line, line: Line, text: str, right: float, step: float) -> bool:
    """Whether a paragraph ends between two lines."""
    if abs(last.size - line.size) > 0.1 * last.size or _ITEM.match(line.text):
        return True
    finished = _SENTENCE_END.search(text[-_LONGEST_WORD:]) is not None
    gap = last.bottom - line.bottom
    if gap <= 0:  # the next column, or page: only a sentence that is over ends there
        return finished
    em = line.size
    if gap > 1.35 * step + 0.1 * em:
        return True
    indented = em < line.left - last.left < 8 * em
    # A list without marks or a verse has lines that end early without a sign.
    filled = (last.right - last.left) / max(em, right - last.left)
    short = last.right < right - 6 * em and filled < (0.85 if finished else 0.6)
    return (indented and finished) or (short and (finished or text[-1:].isalnum()))


def _right(page: list[Line], line: Line) -> float:
    """The right edge of the column that a line is in."""
    column = [other.right for other in page if abs(other.left - line.left) < 3 * line.size]
    return max(column, default=line.right)


def _join(text: str, line: str, words: set[str]) -> str:
    """A paragraph and its next line."""
    divided = _DIVIDED.search(text[-_LONGEST_WORD:])
    if divided is None or not line[:1].isalpha():
        return text.rstrip("\u00ad\ufffe\x02") + joint(text, line) + line
    first, second = divided.group()[:-1], _WORD.match(line)
    rest = second.group().partition("-")[0] if second else ""
    # A compound keeps its hyphen: it is written with one elsewhere, or a name follows.
    compound = f"{first}-{rest}" in words and f"{first}{rest}" not in words
    return text[:-1] + ("-" if compound or not line[0].islower() else "") + line


def _level(line: Line, usual: float) -> int:
    if line.size < _HEADING * usual or len(line.text) > _LONGEST_HEADING:
        return 0
    return 1 if line.size >= 1.5 * usual else 2


def _step(pages: list[list[Line]]) -> float:
    """The usual distance from one line to the next."""
    gaps = [
        first.bottom - second.bottom
        for page in pages
        for first, second in itertools.pairwise(page)
        if 0 < first.bottom - second.bottom < 4 * first.size
    ]
    return statistics.median_low(gaps) if gaps else 0.0


def _edge(page: list[Line]) -> list[Line]:
    by_height = sorted(page, key=lambda line: -line.top)
    return [*by_height[:_EDGE_LINES], *by_height[_EDGE_LINES:][-_EDGE_LINES:]]


def _pattern(line: Line) -> str:
    """The text of a line with its digits masked, to compare it between pages."""
    return _DIGITS.sub("#", " ".join(line.text.split()))
