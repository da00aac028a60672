"""PDF → paragraphs.

A PDF holds characters at positions, no paragraphs. They come from the lines: from the space
between them, their indents, their ends and the size of their letters. What repeats at the edge of
the pages, and page numbers, are left out; a word that was divided at the end of a line is whole.
"""

from __future__ import annotations

import collections
import ctypes
import itertools
import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from spark_mlx.errors import TextError
from spark_mlx.reader.documents import Block
from spark_mlx.reader.formats.optional_imports import missing_library
from spark_mlx.reader.formats.plaintext import joint

_EDGE_LINES = 3  # lines at the top and at the bottom of a page that may belong to its edge
_REPEATS = 3  # pages on which a line stands that is a header or a footer
_HEADING = 1.15  # times the size of the text
_LONGEST_HEADING = 150  # characters
_PAGE_NUMBER = re.compile(
    r"\W*(?:page|p\.|seite|第)?\s*(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of|von)\s*\d{1,4})?\s*页?\W*",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_DIVIDED = re.compile(r"[^\W\d_]+[-\u00ad\u2010\ufffe\x02]$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ITEM = re.compile(r"[•‣◦▪–*-]\s|\(?\d{1,2}[.)]\s")
_LEADERS = re.compile(r"(?:\s?[.…·]){4,}\s*")  # the dots to a page number in a table of contents
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


def blocks(data: bytes, name: str) -> tuple[str, list[Block]]:
    """The title that the file states, "" if it has none, and its paragraphs.

    Raises:
        TextError: the file is damaged, wants a password, or holds no text.
    """
    try:
        import pypdfium2
    except ImportError as error:
        raise missing_library("reading PDF", error) from error
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise TextError(
                f"{name} is encrypted and wants a password; save it without one, for example "
                "with qpdf --decrypt --password=… in.pdf out.pdf"
            ) from error
        raise TextError(f"{name} is damaged ({error}); get it again") from error
    try:
        title = document.get_metadata_value("Title")
        pages = [_lines(document, index) for index in range(len(document))]
    except pypdfium2.PdfiumError as error:
        raise TextError(f"{name} is damaged ({error}); get it again") from error
    finally:
        document.close()
    if not any(pages):
        raise TextError(
            f"{name} holds pictures of text, no text; recognise it first, for example with "
            "ocrmypdf in.pdf out.pdf"
        )
    return title.strip(), list(paragraphs(without_edges(pages)))


def without_edges(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages without their headers, footers and numbers."""
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
                    or (id(line) in outermost and _PAGE_NUMBER.fullmatch(line.text))
                )
            ]
        )
    return kept


def paragraphs(pages: list[list[Line]]) -> Iterator[Block]:
    """The paragraphs of pages, also those that go on across two of them."""
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
    finished = _SENTENCE_END.search(text) is not None
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
    divided = _DIVIDED.search(text)
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
    """From one line to the next, as it is most of the time."""
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
    """The same for the same line on pages with different numbers."""
    return _DIGITS.sub("#", " ".join(line.text.split()))


def _lines(document: Any, index: int) -> list[Line]:
    """The lines of a page in reading order, as PDFium finds them."""
    import pypdfium2.raw as pdfium

    page = document[index]
    try:
        text = page.get_textpage()
        try:
            count = text.count_chars()
            codes = [pdfium.FPDFText_GetUnicode(text, i) for i in range(count)]
            return [
                line
                for first, last in _runs(codes)
                if (line := _line(pdfium, text, codes, first, last)) is not None
            ]
        finally:
            text.close()
    finally:
        page.close()


def _runs(codes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The characters between two line ends."""
    start = end = 0
    for at, code in enumerate(codes):
        end = at + 1
        if code in (10, 13):
            if at > start:
                yield start, at
            start = at + 1
        # PDFium puts U+FFFE or U+0002 for a hyphen at the end of a line, with no line end after.
        elif code in (0xFFFE, 2):
            yield start, at + 1
            start = at + 1
    if end > start:
        yield start, end


def _line(pdfium: Any, page: Any, codes: list[int], first: int, last: int) -> Line | None:
    text = "".join(chr(code) for code in codes[first:last] if code not in (0, 10, 13)).strip()
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _LEADERS.sub(", ", text)
    seen = [i for i in range(first, last) if not chr(codes[i]).isspace() and codes[i] > 2]
    if not text or not seen:
        return None
    boxes = [_box(pdfium, page, i) for i in {seen[0], seen[len(seen) // 2], seen[-1]}]
    return Line(
        text,
        min(box[0] for box in boxes),
        max(box[1] for box in boxes),
        min(_origin(pdfium, page, i) for i in (seen[0], seen[-1])),
        max(box[3] for box in boxes),
        pdfium.FPDFText_GetFontSize(page, seen[len(seen) // 2]),  # the first may be a bullet
    )


def _box(pdfium: Any, page: Any, index: int) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a character."""
    edges = [ctypes.c_double() for _ in range(4)]
    pdfium.FPDFText_GetCharBox(page, index, *edges)
    left, right, bottom, top = (edge.value for edge in edges)
    return left, right, bottom, top


def _origin(pdfium: Any, page: Any, index: int) -> float:
    """The height of the base line below a character, which its shape does not change."""
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(page, index, x, y)
    return y.value
