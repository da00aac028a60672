"""HTML → paragraphs, as a listener expects them.

Headings, paragraphs, lists, tables row by row and descriptions of pictures are kept. Scripts,
styles, navigation, forms and marks of footnotes are left out; code of several lines is replaced by
its number of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from spark_mlx.errors import TextError
from spark_mlx.reader.documents import Block
from spark_mlx.reader.formats.html_content import (
    HEADINGS,
    SKIPPED,
    all_text,
    is_data_table,
    is_note_mark,
    is_surrounding,
    main_part,
    name_of,
    named,
    raw_text,
)
from spark_mlx.reader.formats.optional_imports import missing_library

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_PHRASES = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark output q "
    "ruby rb s samp small span strike strong sub sup time tt u var wbr font math".split()
)
_CJK = re.compile(r"[\u3400-\u9fff]")
_CHINESE_BREAK = re.compile(
    r"(?<=[\u3000-\u9fff\uff00-\uffef])\n\s*(?=[\u3000-\u9fff\uff00-\uffef])"
)
_WORDS = {
    "en": ("Image: {}.", "Code of {} lines, left out."),
    "zh": ("图片：{}。", "{} 行代码，略去。"),
}
_WHOLE = re.compile(r"\s*-?\d{1,9}\s*")
# Limits of a page: beyond them a small archive could take minutes and gigabytes.
_MAX_CHARACTERS = 20_000_000
_MAX_TAGS = 200_000


def blocks(text: str) -> tuple[str, list[Block]]:
    """The title of a page, "" if it has none, and its paragraphs."""
    return of_tree(parse(text))


def parse(text: str) -> Element | None:
    """Parse a page, which need not be well-formed; None if it is empty.

    Raises:
        TextError: it is too large, or lxml is not installed.
    """
    try:
        from lxml import etree
    except ImportError as error:
        raise missing_library("reading HTML, Markdown or EPUB", error) from error
    check_size(text)
    # The encoding that the page declares does not hold for a str.
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    data = text.encode("utf-8", "replace")
    try:
        tree: Element | None = etree.fromstring(data, parser=parser)
    except etree.LxmlError:  # nothing but comments
        return None
    return tree


def check_size(text: str) -> None:
    """Refuse markup that would take too much time and memory.

    Raises:
        TextError: see above.
    """
    if len(text) > _MAX_CHARACTERS:
        raise TextError(
            f"a page of {len(text) / 1e6:.0f} million characters is too long; split it: "
            f"read takes {_MAX_CHARACTERS / 1e6:.0f}"
        )
    if (tags := text.count("<")) > _MAX_TAGS:
        raise TextError(f"a page of {tags} tags is too long; split it: read takes {_MAX_TAGS}")


def of_tree(tree: Element | None) -> tuple[str, list[Block]]:
    """The title and the paragraphs of a parsed page.

    Raises:
        TextError: its elements are nested too deeply.
    """
    if tree is None:
        return "", []
    title = next((text for text in map(all_text, named(tree, "title")) if text), "")
    walker = _Walker("zh" if _is_chinese(all_text(tree)[:20_000]) else "en")
    try:
        walker.walk(main_part(tree))
    except RecursionError as error:
        raise TextError("the elements of a page are nested too deeply to be read") from error
    walker.end_block()
    return title, walker.blocks


class _Walker:
    """Walk through a tree and collect its paragraphs."""

    def __init__(self, language: str) -> None:
        self.blocks: list[Block] = []
        self._image, self._code = _WORDS[language]
        self._text: list[str] = []
        self._prefix = ""  # the number of a list's item, for its first paragraph

    def end_block(self, level: int = 0) -> None:
        """Make a paragraph of the text collected so far."""
        text = "".join(self._text)
        self._text.clear()
        if text.strip():
            self.blocks.append(Block(self._prefix + text.strip(), level))
            self._prefix = ""

    def walk(self, element: Element) -> None:
        """Collect the text of an element and its children, without its tail."""
        name = name_of(element)
        if name in SKIPPED or is_surrounding(element):
            return
        if name == "br":
            self._text.append("\u2028")
        elif name == "img":
            self._describe(element.get("alt"))
        elif name == "math":
            self._text.append(element.get("alttext") or all_text(element))
        elif name == "sup" and is_note_mark(element):
            return
        elif name == "pre":
            self._take_code(element)
        elif name == "table" and is_data_table(element):
            self._take_table(element)
        elif name in _PHRASES:
            self._take_inside(element)
        else:
            self.end_block()
            if name in ("ol", "ul"):
                self._take_list(element)
            else:
                self._take_inside(element)
            self.end_block(HEADINGS.get(name, 0))

    def _take_inside(self, element: Element) -> None:
        self._add(element.text)
        for child in element:
            if isinstance(child.tag, str):
                self.walk(child)
            self._add(child.tail)

    def _add(self, text: str | None) -> None:
        if text:
            text = _CHINESE_BREAK.sub("", text)
            self._text.append(" ".join([*_edge(text[0]), *text.split(), *_edge(text[-1])]))

    def _describe(self, description: str | None) -> None:
        if description and description.strip():
            self._text.append(f" {self._image.format(description.strip().rstrip('.。'))} ")

    def _take_list(self, element: Element) -> None:
        number = _whole(element.get("start"), 1)
        for child in element:
            if name_of(child) == "li" and name_of(element) == "ol":
                number = _whole(child.get("value"), number)
                self._prefix = f"{number}. "
                number += 1
            if isinstance(child.tag, str):
                self.walk(child)
            self._add(child.tail)
            self._prefix = ""

    def _take_code(self, element: Element) -> None:
        self.end_block()
        lines = [line for line in raw_text(element).splitlines() if line.strip()]
        if len(lines) == 1:
            self._text.append(lines[0])
        elif lines:
            self._text.append(self._code.format(len(lines)))
        self.end_block()

    def _take_table(self, table: Element) -> None:
        """A table's rows, each cell with the head of its column."""
        self.end_block()
        heads: list[str] = []
        for caption in named(table, "caption"):
            self._text.append(all_text(caption))
            self.end_block()
        for i, row in enumerate(named(table, "tr")):
            cells = [cell for cell in row if name_of(cell) in ("td", "th")]
            texts = [self._cell(cell) for cell in cells]
            if i == 0 and len(cells) > 1 and all(name_of(cell) == "th" for cell in cells):
                heads = texts
                continue
            labelled = [
                f"{heads[j]}: {text}" if j < len(heads) and heads[j] and heads[j] != text else text
                for j, text in enumerate(texts)
                if text
            ]
            if labelled:
                self._text.append("; ".join(labelled).rstrip(".") + ".")
                self.end_block()

    def _cell(self, cell: Element) -> str:
        inner = _Walker("en")
        inner._image, inner._code = self._image, self._code
        inner._take_inside(cell)
        inner.end_block()
        return " ".join(" ".join(block.text.split()) for block in inner.blocks)


def _edge(c: str) -> Iterable[str]:
    """Keeps a space at the edge of a text when joined with spaces."""
    return [""] if c.isspace() else []


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and _WHOLE.fullmatch(text) else default


def _is_chinese(text: str) -> bool:
    return len(_CJK.findall(text)) > 0.1 * len(text)
