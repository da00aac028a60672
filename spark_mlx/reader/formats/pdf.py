"""PDF → paragraphs: the lines of each page, read with PDFium, then `pdf_layout`."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator
from typing import Any

from spark_mlx.errors import TextError
from spark_mlx.reader.documents import Block
from spark_mlx.reader.formats.optional_imports import missing_library
from spark_mlx.reader.formats.pdf_layout import Line, paragraphs, without_edges

_LEADERS = re.compile(r"(?:\s?[.…·]){4,}\s*")  # the dots to a page number in a table of contents


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
