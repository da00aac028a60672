"""EPUB → paragraphs: its chapters in the order of the spine.

An EPUB is a zip archive: META-INF/container.xml names the package file, which lists the parts
(the manifest) and their reading order (the spine). EPUB 3.3, W3C.
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
# Bytes after unpacking; a book has one or two megabytes of text.
_MAX_PART = 20 << 20
_MAX_BOOK = 100 << 20
_MAX_BOOK_TAGS = 300_000
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # all that the standard allows
_ENTITY = re.compile(r"&(\w+);")
_XML_ENTITIES = frozenset(("amp", "lt", "gt", "quot", "apos"))
# Damaged archives raise these; an encrypted part is a RuntimeError, a missing one a KeyError.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, KeyError)
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
    except _DAMAGE as error:
        raise TextError(f"{name} is damaged ({error}); get it again") from error


class _Book:
    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive = archive
        self._name = name
        self._names = set(archive.namelist())
        self._bytes_left = _MAX_BOOK

    def blocks(self) -> tuple[str, list[Block]]:
        self._refuse_locked()
        package = self._package()
        root = self._xml(package)
        title = next((_text(e) for e in _found(root, "title") if _text(e)), "")
        found: list[Block] = []
        # All are unpacked before one is parsed: a book that is too long is refused at once.
        pages = [self._text(path) for path in self._chapters(root, posixpath.dirname(package))]
        if (tags := sum(page.count("<") for page in pages)) > _MAX_BOOK_TAGS:
            raise TextError(
                f"{self._name} has {tags} tags, and read takes {_MAX_BOOK_TAGS}; split it"
            )
        for page in pages:
            _, chapter = html.of_tree(_parsed(page))
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
        return list(dict.fromkeys(spine or pages.values()))

    def _text(self, path: str) -> str:
        """The markup of a chapter."""
        text = encodings.decode(self._read(path), f"{path} in {self._name}")
        html.check_size(text)
        return text

    def _xml(self, path: str) -> Element:
        etree = _etree()
        try:
            text = encodings.decode(self._read(path), f"{path} in {self._name}")
            root: Element = etree.fromstring(_without_entities(text).encode(), _parser(etree))
        except etree.XMLSyntaxError as error:
            raise TextError(f"{path} in {self._name} is damaged ({error}); get it again") from error
        return root

    def _read(self, path: str) -> bytes:
        entry = self._archive.getinfo(path)
        if entry.flag_bits & 1:
            raise TextError(f"{path} in {self._name} is encrypted and cannot be read here")
        if entry.compress_type not in _COMPRESSIONS:
            raise TextError(f"{path} in {self._name} is packed in a way that EPUB does not know")
        with self._archive.open(entry) as file:
            data = file.read(_MAX_PART + 1)
        if len(data) > _MAX_PART:
            raise TextError(f"{path} in {self._name} unpacks to more than {_MAX_PART >> 20} MB")
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise TextError(f"{self._name} unpacks to more than {_MAX_BOOK >> 20} MB of text")
        return data


def _parsed(text: str) -> Element | None:
    """Parse a chapter as XML, in which `<title/>` is whole; as HTML if it is not well-formed."""
    etree = _etree()
    try:
        return etree.fromstring(_without_entities(text).encode(), _parser(etree))
    except etree.XMLSyntaxError:
        return html.parse(text)


def _etree() -> Any:
    try:
        from lxml import etree
    except ImportError as error:
        raise missing_library("reading EPUB", error) from error
    return etree


def _parser(etree: Any) -> Any:
    """A parser that opens no other files."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )


def _without_entities(text: str) -> str:
    """Replace HTML's entities, which XML does not know; drop XML declaration and DOCTYPE."""
    if text.lstrip().startswith("<?xml"):
        text = text.partition("?>")[2]
    before, found, rest = text.partition("<!DOCTYPE")
    if found:
        head, _, after = rest.partition(">")
        if "[" in head:  # declarations of the page's own, between brackets
            after = rest.partition("]")[2].partition(">")[2]
        text = before + after
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
