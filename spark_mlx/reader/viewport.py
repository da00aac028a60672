"""Viewport: the rows of a document that a screen shows, scrolled to keep a sentence in sight.

Only paragraphs near the screen are broken into lines, so a book opens at once.
"""

from __future__ import annotations

from typing import NamedTuple

from spark_mlx.reader.columns import wrap
from spark_mlx.reader.documents import Document
from spark_mlx.text.alignment import Span

_ABOVE = 4  # a sentence out of sight is scrolled to a fourth of the way down


class Row(NamedTuple):
    """A row of the screen: the span it shows, None for the gap between two paragraphs."""

    span: Span | None
    level: int = 0


class LineAddress(NamedTuple):
    """A line of a paragraph; the one after its last is the gap before the next paragraph."""

    paragraph: int
    line: int


class Viewport:
    """A window of `rows` rows and `columns` columns onto a document, at least one of each."""

    def __init__(self, document: Document, columns: int, rows: int) -> None:
        self._document = document
        self._lines: dict[int, list[Span]] = {}
        self._top = LineAddress(0, 0)
        self._columns = self._rows = 1
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size; `show` must follow."""
        self._columns, self._rows = max(1, columns), max(1, rows)
        self._lines.clear()
        self._top = LineAddress(self._top.paragraph, 0)

    def show(self, span: Span) -> None:
        """Scroll to a sentence, unless it is in sight."""
        first = self._locate(span[0])
        last = self._locate(max(span[0], span[1] - 1))
        top = self._top
        if first >= top and last in self._following(top, self._rows):
            return
        height = len(self._following(first, self._rows, last))
        above = max(0, min(self._rows // _ABOVE, self._rows - height))
        self._top = self._before(first, above)

    def rows(self) -> list[Row]:
        """The rows from top to bottom; fewer than fit at the document's end."""
        shown = []
        for paragraph, line in self._following(self._top, self._rows):
            lines = self._lines_of(paragraph)
            level = self._document.paragraphs[paragraph].level
            shown.append(Row(lines[line] if line < len(lines) else None, level))
        return shown

    def _lines_of(self, paragraph: int) -> list[Span]:
        """The spans of a paragraph's lines."""
        if paragraph not in self._lines:
            if len(self._lines) > 1000:
                self._lines.clear()
            start = self._document.paragraphs[paragraph].start
            lines = wrap(self._document.paragraphs[paragraph].text, self._columns)
            self._lines[paragraph] = [(start + first, start + last) for first, last in lines]
        return self._lines[paragraph]

    def _locate(self, position: int) -> LineAddress:
        """The line that shows a position."""
        paragraph = self._document.paragraph_at(position)
        lines = self._lines_of(paragraph)
        at = max((i for i, (first, _) in enumerate(lines) if first <= position), default=0)
        return LineAddress(paragraph, at)

    def _following(
        self, top: LineAddress, rows: int, last: LineAddress | None = None
    ) -> list[LineAddress]:
        """Lines from `top` on: `rows` of them, or up to `last`."""
        found: list[LineAddress] = []
        paragraph, line = top
        while len(found) < rows and paragraph < len(self._document.paragraphs):
            found.append(LineAddress(paragraph, line))
            if found[-1] == last:
                break
            line += 1
            if line > len(self._lines_of(paragraph)):
                paragraph, line = paragraph + 1, 0
        return found

    def _before(self, row: LineAddress, rows: int) -> LineAddress:
        """The line that is `rows` rows above another, or the first."""
        paragraph, line = row
        while line < rows and paragraph:
            rows -= line
            paragraph -= 1
            line = len(self._lines_of(paragraph)) + 1
        return LineAddress(paragraph, max(0, line - rows))
