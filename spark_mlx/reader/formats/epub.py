"""EPUB → paragraphs: its chapters in the order of the spine.

An EPUB is a zip archive: META-INF/container.xml names the package file, which lists what there is
(the manifest) and in which order it is read (the spine). EPUB 3.3, W3C.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from html.entities import html5
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from spark_mlx.errors import TextError
from spark_mlx.reader.documents import Block
from spark_mlx.reader.formats import encodings, html
from spark_mlx.reader.formats.optional_imports import missing_library

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_PAGES = ("application/xhtml+xml", "text/html")
_MOST_BYTES = 200 << 20  # of all chapters unpacked; a book has some
_ENTITY = re.compile(r"&(\w+);")
_XML_ENTITIES = frozenset(("amp", "lt", "gt", "quot", "apos"))
# Fonts may be scrambled in a book that can be read; that is not a lock.
_FONT_METHODS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def blocks(data: bytes, name: str) -> tuple[str, list[Block]]:
    """The title of a book, "" if it has none, and its paragraphs.

    Raises:
        TextError: the archive is damaged, locked, or holds no chapters.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Book(archive, name).blocks()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise TextError(f"{name} is damaged ({error}); get it again") from error


class _Book:
    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive = archive
        self._name = name
        self._names = set(archive.namelist())
        self._bytes_left = _MOST_BYTES

    def blocks(self) -> tuple[str, list[Block]]:
        self._refuse_locked()
        package = self._package()
        root = self._xml(package)
        title = next((_text(e) for e in _found(root, "title") if _text(e)), "")
        found: list[Block] = []
        for path in self._chapters(root, posixpath.dirname(package)):
            _, chapter = html.of_tree(self._page(path))
            found += chapter
        if not found:
            raise TextError(f"{self._name} holds no chapters with text; is it a book of pictures?")
        return title, found

    def _refuse_locked(self) -> None:
        if "META-INF/encryption.xml" not in self._names:
            return
        for method in _found(self._xml("META-INF/encryption.xml"), "EncryptionMethod"):
            if method.get("Algorithm") not in _FONT_METHODS:
                raise TextError(
                    f"{self._name} is locked by its seller (DRM) and cannot be read here; "
                    "open it with the seller's own program"
                )

    def _package(self) -> str:
        """The path of the package file."""
        if "META-INF/container.xml" in self._names:
            for file in _found(self._xml("META-INF/container.xml"), "rootfile"):
                path = unquote(file.get("full-path") or "")
                if path in self._names:
                    return path
        for name in sorted(self._names):
            if name.endswith(".opf"):
                return name
        raise TextError(
            f"{self._name} has no package file, so it is not a whole EPUB; get it again"
        )

    def _chapters(self, root: Element, folder: str) -> list[str]:
        """The pages in reading order; without a spine, in the order of the manifest."""
        pages: dict[str, str] = {}
        for item in _found(root, "item"):
            path = posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
            contents = "nav" in (item.get("properties") or "").split()
            if item.get("media-type") in _PAGES and path in self._names and not contents:
                pages[item.get("id") or path] = path
        spine = [
            pages[reference]
            for item in _found(root, "itemref")
            # Not linear is what one comes to by a link: notes, answers, large pictures.
            if (reference := item.get("idref") or "") in pages and item.get("linear") != "no"
        ]
        return spine or list(pages.values())

    def _page(self, path: str) -> Element | None:
        """A chapter. It should be XML, in which `<title/>` is whole; if it is not, HTML."""
        text = encodings.decode(self._read(path), f"{path} in {self._name}")
        etree = _etree()
        try:
            return etree.fromstring(_without_entities(text).encode(), _parser(etree))
        except etree.XMLSyntaxError:
            return html.parse(text)

    def _xml(self, path: str) -> Element:
        etree = _etree()
        try:
            text = encodings.decode(self._read(path), f"{path} in {self._name}")
            root: Element = etree.fromstring(_without_entities(text).encode(), _parser(etree))
        except etree.XMLSyntaxError as error:
            raise TextError(f"{path} in {self._name} is damaged ({error}); get it again") from error
        return root

    def _read(self, path: str) -> bytes:
        with self._archive.open(path) as file:
            data = file.read(self._bytes_left + 1)
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise TextError(f"{self._name} unpacks to more than {_MOST_BYTES >> 20} MB of text")
        return data


def _etree() -> Any:
    try:
        from lxml import etree
    except ImportError as error:
        raise missing_library("reading EPUB", error) from error
    return etree


def _parser(etree: Any) -> Any:
    """Reads nothing but what it is given."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )


def _without_entities(text: str) -> str:
    """XML knows five entities by name; chapters use those of HTML. The encoding is known by now."""
    text = re.sub(r"^\s*<\?xml.*?\?>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!DOCTYPE[^>\[]*(\[.*?\])?\s*>", "", text, count=1, flags=re.DOTALL)
    return _ENTITY.sub(
        lambda m: m[0] if m[1] in _XML_ENTITIES else html5.get(f"{m[1]};", m[0]), text
    )


def _found(root: Element, name: str) -> list[Element]:
    """The elements of a name, in whatever namespace."""
    return [
        element
        for element in root.iter()
        if isinstance(element.tag, str) and element.tag.rpartition("}")[2] == name
    ]


def _text(element: Element) -> str:
    return " ".join("".join(map(str, element.itertext())).split())
