"""Files of every kind → documents; the kind follows from the first bytes, then from the name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePath

from spark_mlx.errors import TextError
from spark_mlx.reader.documents import Block, Document
from spark_mlx.reader.formats import encodings, epub, html, markdown, pdf, plaintext

_MARKDOWN = (".md", ".markdown", ".mkd", ".mdown")
_HTML = (".html", ".htm", ".xhtml", ".xht")
_HTML_START = re.compile(r"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_MAX_BYTES = 200 << 20  # of a file
_MAX_TITLE = 300  # characters
_DECLARED = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)|"
    rb"<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
_HEAD = 4096  # bytes in which a page declares its encoding
# First bytes of files that may be taken for documents; office files and apps are zip archives.
_REFUSED = (
    (b"PK\x03\x04", "a zip archive or an office document, no EPUB"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"),
    (b"{\\rtf", "a rich text document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x7fELF", "a program"),
    (b"\x1f\x8b", "a compressed file"),
    (b"ITOLITLS", "a locked book"),
    (b"%!PS", "PostScript"),
)


def read_file(path: str | Path) -> Document:
    """Read the document in a file.

    Raises:
        TextError: there is no such file, it may not be read, it is of no known kind, damaged or
            locked, there is nothing to read in it, or a library that it takes is missing.
    """
    try:
        with Path(path).open("rb") as file:  # maybe a pipe, or a device without an end
            data = file.read(_MAX_BYTES + 1)
        whole = str(Path(path).resolve())
    except OSError as error:
        raise TextError(f"cannot read {path}: {error.strerror or error}") from error
    return read_bytes(data, str(path), whole)


def read_bytes(data: bytes, name: str, path: str = "") -> Document:
    """Read the document in some bytes; `name` is shown in errors, its ending tells the kind.

    Raises:
        TextError: as `read_file`.
    """
    if len(data) > _MAX_BYTES:
        raise TextError(f"{name} is longer than {_MAX_BYTES >> 20} MB; split it")
    if not data.strip():
        raise TextError(f"{name} is empty; give a document with words")
    title, blocks = _blocks(data, name)
    fallback = PurePath(name).name
    title = title[:_MAX_TITLE] if any(map(str.isalnum, title[:_MAX_TITLE])) else fallback
    return Document.of(title, blocks, path, hashlib.sha256(data).hexdigest())


def _blocks(data: bytes, name: str) -> tuple[str, list[Block]]:
    """The title, "" if there is none, and the paragraphs."""
    ending = PurePath(name).suffix.lower()
    if b"%PDF-" in data[:1024]:
        return pdf.blocks(data, name)
    if data.startswith(b"PK") and (ending == ".epub" or b"application/epub+zip" in data[:200]):
        return epub.blocks(data, name)
    for mark, kind in _REFUSED:
        if data.startswith(mark):
            raise TextError(f"{name} is {kind}; read takes text, Markdown, HTML, EPUB and PDF")
    if ending in (".epub", ".pdf"):
        raise TextError(f"{name} is damaged, or not what its name says; get it again")
    text = encodings.decode(data, name, _declared(data[:_HEAD]))
    if ending in _MARKDOWN:
        return markdown.blocks(text)
    if ending in _HTML or _looks_like_html(text[:_HEAD]):
        return html.blocks(text)
    return "", list(plaintext.blocks(text))


def _looks_like_html(text: str) -> bool:
    """Whether a text begins with HTML, after an XML declaration and comments."""
    at = len(text) - len(text.lstrip())
    while text.startswith(("<!--", "<?"), at):
        end = text.find("-->" if text.startswith("<!--", at) else "?>", at)
        if end < 0:
            return False
        at = text.index(">", end) + 1
        at += len(text[at:]) - len(text[at:].lstrip())
    return _HTML_START.match(text, at) is not None


def _declared(head: bytes) -> str | None:
    """The encoding that a page declares."""
    found = _DECLARED.search(head)
    return (found[1] or found[2]).decode("ascii") if found else None
