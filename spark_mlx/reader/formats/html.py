"""HTML → paragraphs, as a listener expects them.

What a page says is kept: headings, paragraphs, lists, tables row by row, the descriptions of
pictures. What surrounds it is left out: scripts, styles, navigation, forms, the marks of
footnotes. Of code more than a line long only the number of lines is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spark_mlx.reader.documents import Block
from spark_mlx.reader.formats.optional_imports import missing_library

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_SKIPPED = frozenset(
    "head script style noscript template nav form button input select textarea option datalist "
    "iframe object embed svg canvas audio video map dialog rt rp rtc menu progress meter".split()
)
_PHRASES = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark output q "
    "ruby rb s samp small span strike strong sub sup time tt u var wbr font math".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# What stands around a text: by its role in ARIA or EPUB, and by the classes that are common.
_ROLES = frozenset(
    "navigation banner contentinfo search menu menubar toolbar dialog alertdialog doc-noteref "
    "doc-backlink doc-toc doc-pagebreak doc-pagelist noteref pagebreak page-list toc "
    "landmarks".split()
)
_CLASSES = frozenset("footnote-backref footnote-ref reversefootnote mw-editsection".split())
_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_NOTE_MARK = re.compile(r"[\[(]?\s*(?:\d{1,3}|[a-z*†‡§]{1,2})\s*[\])]?")
_CJK = re.compile(r"[\u3400-\u9fff]")
_CHINESE_BREAK = re.compile(
    r"(?<=[\u3000-\u9fff\uff00-\uffef])\n\s*(?=[\u3000-\u9fff\uff00-\uffef])"
)
_WORDS = {
    "en": ("Image: {}.", "Code of {} lines, left out."),
    "zh": ("图片：{}。", "{} 行代码，略去。"),
}
_LONGEST_CELL = 300  # characters; a table with longer cells only lays a page out


def blocks(text: str) -> tuple[str, list[Block]]:
    """The title of a page, "" if it has none, and its paragraphs."""
    return of_tree(parse(text))


def parse(text: str) -> Element | None:
    """A page as a tree; None if it is empty. It need not be well-formed."""
    try:
        from lxml import etree, html
    except ImportError as error:
        raise missing_library("reading HTML, Markdown or EPUB", error) from error
    # What the page says of its encoding is no longer true of a str.
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    data = text.encode("utf-8", "replace")
    try:
        return html.document_fromstring(data, parser=parser)
    except etree.ParserError:  # nothing but comments
        return None


def of_tree(tree: Element | None) -> tuple[str, list[Block]]:
    """The title and the paragraphs of a parsed page."""
    if tree is None:
        return "", []
    title = next((text for text in map(_all_text, _named(tree, "title")) if text), "")
    walker = _Walker("zh" if _is_chinese(_all_text(tree)[:20_000]) else "en")
    walker.walk(_main(tree))
    walker.end_block()
    return title, walker.blocks


class _Walker:
    """Goes through a tree and collects its paragraphs."""

    def __init__(self, language: str) -> None:
        self.blocks: list[Block] = []
        self._image, self._code = _WORDS[language]
        self._text: list[str] = []
        self._prefix = ""  # the number of a list's item, for its first paragraph

    def end_block(self, level: int = 0) -> None:
        """Whatever was collected is a paragraph."""
        text = "".join(self._text)
        self._text.clear()
        if text.strip():
            self.blocks.append(Block(self._prefix + text.strip(), level))
            self._prefix = ""

    def walk(self, element: Element) -> None:
        """Takes an element with all that is in it, without what follows it."""
        name = _name(element)
        if name in _SKIPPED or _is_around(element):
            return
        if name == "br":
            self._text.append("\u2028")
        elif name == "img":
            self._describe(element.get("alt"))
        elif name == "math":
            self._text.append(element.get("alttext") or _all_text(element))
        elif name == "sup" and _is_note_mark(element):
            return
        elif name == "pre":
            self._take_code(element)
        elif name == "table" and _is_data(element):
            self._take_table(element)
        elif name in _PHRASES:
            self._take_inside(element)
        else:
            self.end_block()
            if name in ("ol", "ul"):
                self._take_list(element)
            else:
                self._take_inside(element)
            self.end_block(_HEADINGS.get(name, 0))

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
            if _name(child) == "li" and _name(element) == "ol":
                number = _whole(child.get("value"), number)
                self._prefix = f"{number}. "
                number += 1
            if isinstance(child.tag, str):
                self.walk(child)
            self._add(child.tail)
            self._prefix = ""

    def _take_code(self, element: Element) -> None:
        self.end_block()
        lines = [line for line in _raw_text(element).splitlines() if line.strip()]
        if len(lines) == 1:
            self._text.append(lines[0])
        elif lines:
            self._text.append(self._code.format(len(lines)))
        self.end_block()

    def _take_table(self, table: Element) -> None:
        """A table's rows, each cell with the head of its column."""
        self.end_block()
        heads: list[str] = []
        for caption in _named(table, "caption"):
            self._text.append(_all_text(caption))
            self.end_block()
        for i, row in enumerate(_named(table, "tr")):
            cells = [cell for cell in row if _name(cell) in ("td", "th")]
            texts = [self._cell(cell) for cell in cells]
            if i == 0 and len(cells) > 1 and all(_name(cell) == "th" for cell in cells):
                heads = texts
                continue
            named = [
                f"{heads[j]}: {text}" if j < len(heads) and heads[j] and heads[j] != text else text
                for j, text in enumerate(texts)
                if text
            ]
            if named:
                self._text.append("; ".join(named).rstrip(".") + ".")
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


def _name(element: Any) -> str:
    """An element's name in lower case, without a namespace; "" for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _named(tree: Element, *names: str) -> list[Element]:
    return [element for element in tree.iter() if _name(element) in names]


def _is_around(element: Element) -> bool:
    """Whether an element is not part of what a page says."""
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    if _HIDDEN.search(element.get("style") or ""):
        return True
    role = " ".join(element.get(key) or "" for key in ("role", "epub:type", _EPUB_TYPE))
    if not _ROLES.isdisjoint(role.split()):
        return True
    if not _CLASSES.isdisjoint((element.get("class") or "").split()):
        return True
    # The header and footer of a page, not those of a section, nor the title of a chapter.
    parent = element.getparent()
    if parent is None or _name(parent) != "body":
        return False
    name = _name(element)
    return name == "footer" or (name == "header" and not _named(element, *_HEADINGS))


def _is_note_mark(element: Element) -> bool:
    """Whether this is the mark of a footnote: a link within the page, of a number or a sign."""
    links = [link for link in element.iter() if _name(link) == "a"]
    parent = element.getparent()
    if parent is not None and _name(parent) == "a":
        links.append(parent)
    inside = any("#" in (link.get("href") or "") for link in links)
    return inside and _NOTE_MARK.fullmatch(_all_text(element)) is not None


def _is_data(table: Element) -> bool:
    """Whether a table holds data, and does not only lay a page out."""
    if table.get("role") in ("presentation", "none") or len(_named(table, "table")) > 1:
        return False
    cells = _named(table, "td", "th")
    return all(len(_all_text(cell)) <= _LONGEST_CELL for cell in cells)


def _main(tree: Element) -> Element:
    """What the page says itself is its main part; else its only article; else its body."""
    for found in (
        [e for e in tree.iter() if _name(e) == "main" or e.get("role") == "main"],
        _named(tree, "article"),
        _named(tree, "body"),
    ):
        if len(found) == 1 and _all_text(found[0]):
            return found[0]
    return tree


def _raw_text(element: Element) -> str:
    return "".join(map(str, element.itertext(with_tail=False)))


def _all_text(element: Element) -> str:
    return " ".join(_raw_text(element).split())


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.strip().lstrip("-").isdecimal() else default


def _is_chinese(text: str) -> bool:
    return len(_CJK.findall(text)) > 0.1 * len(text)
