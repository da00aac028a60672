"""Plain text → paragraphs.

A blank line ends a paragraph. Whether the end of a line does is told by its length: a line that
still had room for the next word was ended on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from spark_mlx.reader.columns import width
from spark_mlx.reader.documents import Block

# Columns: a text whose longest line is within these may be hard-wrapped.
_NARROWEST, _WIDEST = 40, 120
_SHORT = 60  # lines up to here that were ended on purpose stay together: verses, addresses
_BLANK = re.compile(r"\n(?:[^\S\n]*\n)+|\f")
_HEADING = re.compile(
    r"(?:chapter|part|book|section|act|scene|appendix)\s+(?:\d+|[ivxlc]+|one|two|three|four|five|"
    r"six|seven|eight|nine|ten)\b.{0,50}"
    r"|(?:prologue|epilogue|preface|introduction|contents)"
    r"|第[\d一二三四五六七八九十百千零〇两]+[章节節回卷部篇].{0,30}",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*•·–]|\(?\d{1,3}[.)])\s")
_CJK = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


def blocks(text: str) -> Iterator[Block]:
    """The paragraphs of a plain text; lines that look like it are headings."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for group in _BLANK.split(text):
        lines = [line.rstrip() for line in group.split("\n") if line.strip()]
        for paragraph in _paragraphs(lines):
            yield Block(paragraph, 1 if _is_heading(paragraph) else 0)


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Lines without a blank one between them → paragraphs."""
    if not lines:
        return
    widths = [width(line) for line in lines]
    widest = max(widths)
    wrapped = len(lines) > 1 and _NARROWEST <= widest <= _WIDEST
    paragraph = lines[0]
    for i, line in enumerate(lines[1:], 1):
        if _begins(line, lines[i - 1]):
            yield paragraph
            paragraph = line
        elif wrapped and widths[i - 1] + _first_word(line) > widest:
            paragraph += joint(paragraph, line) + line.lstrip()
        elif max(widths[i - 1], widths[i]) <= _SHORT and not _is_heading(lines[i - 1]):
            paragraph += "\n" + line
        else:
            yield paragraph
            paragraph = line
    yield paragraph


def joint(before: str, after: str) -> str:
    """What stands between two lines of a paragraph: nothing in Chinese, else a space."""
    return "" if _CJK.match(before[-1:]) and _CJK.match(after.lstrip()[:1]) else " "


def _begins(line: str, last: str) -> bool:
    """Whether a line begins a paragraph, by its looks: a list's item, or more indented."""
    indented = len(line) - len(line.lstrip())
    if _ITEM.match(line):
        return True
    return indented > len(last) - len(last.lstrip()) and not _ITEM.match(last)


def _first_word(line: str) -> int:
    """The columns that it would have taken to begin this line on the one before."""
    line = line.lstrip()
    if _CJK.match(line):
        return 3  # a character, and a sign that must not begin a line
    return width(line.split(None, 1)[0]) + 1


def _is_heading(text: str) -> bool:
    line = text.strip()
    if len(line) > _SHORT or "\n" in line:
        return False
    capitals = line.isupper() and len(line) > 3 and line[-1] not in ".,;:"
    return capitals or _HEADING.fullmatch(line) is not None
