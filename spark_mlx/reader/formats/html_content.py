"""Tell the content of an HTML page from its surroundings: roles, classes, marks of footnotes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

SKIPPED = frozenset(
    "head script style noscript template nav form button input select textarea option datalist "
    "iframe object embed svg canvas audio video map dialog rt rp rtc menu progress meter".split()
)
HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Surroundings by their role in ARIA or EPUB, and by common classes.
_ROLES = frozenset(
    "navigation banner contentinfo search menu menubar toolbar dialog alertdialog doc-noteref "
    "doc-backlink doc-toc doc-pagebreak doc-pagelist noteref pagebreak page-list toc "
    "landmarks".split()
)
_CLASSES = frozenset("footnote-backref footnote-ref reversefootnote mw-editsection".split())
_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_NOTE_MARK = re.compile(r"[\[(]?\s*(?:\d{1,3}|[a-z*†‡§]{1,2})\s*[\])]?")
_LONGEST_CELL = 300  # characters; a table with longer cells only lays a page out


def is_surrounding(element: Element) -> bool:
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
    if parent is None or name_of(parent) != "body":
        return False
    name = name_of(element)
    return name == "footer" or (name == "header" and not named(element, *HEADINGS))


def is_note_mark(element: Element) -> bool:
    """Whether this is the mark of a footnote: a link within the page, of a number or a sign."""
    links = [link for link in element.iter() if name_of(link) == "a"]
    parent = element.getparent()
    if parent is not None and name_of(parent) == "a":
        links.append(parent)
    inside = any("#" in (link.get("href") or "") for link in links)
    return inside and _NOTE_MARK.fullmatch(all_text(element)) is not None


def is_data_table(table: Element) -> bool:
    """Whether a table holds data, and does not only lay a page out."""
    if table.get("role") in ("presentation", "none") or len(named(table, "table")) > 1:
        return False
    cells = named(table, "td", "th")
    return all(len(all_text(cell)) <= _LONGEST_CELL for cell in cells)


def main_part(tree: Element) -> Element:
    """What the page says itself is its main part; else its only article; else its body."""
    for found in (
        [e for e in tree.iter() if name_of(e) == "main" or e.get("role") == "main"],
        named(tree, "article"),
        named(tree, "body"),
    ):
        if len(found) == 1 and all_text(found[0]):
            return found[0]
    return tree


def name_of(element: Any) -> str:
    """An element's name in lower case, without a namespace; "" for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def named(tree: Element, *names: str) -> list[Element]:
    return [element for element in tree.iter() if name_of(element) in names]


def raw_text(element: Element) -> str:
    return "".join(map(str, element.itertext(with_tail=False)))


def all_text(element: Element) -> str:
    return " ".join(raw_text(element).split())
