"""Files of every kind → documents. What a file is, its first bytes say, then its name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePath

from spark_mlx.errors import TextError
from spark_mlx.reader.documents import Block, Document
from spark_mlx.reader.formats import encodings, epub, html, markdown, pdf, plaintext

_MARKDOWN = (".md", ".markdown", ".mkd", ".mdown")
_HTML = (".html", ".htm", ".xhtml", ".xht")
_LOOKS_LIKE_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
_DECLARED = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)|"
    rb"<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
_HEAD = 4096  # bytes in which a page declares its encoding
# The first bytes of what people may take for a document; office files and apps are zip archives.
_OTHERS = (
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
    """The document in a file.

    Raises:
        TextError: there is no such file, it may not be read, it is of no known kind, damaged or
            locked, there is nothing to read in it, or a library that it takes is missing.
    """
    try:
        data = Path(path).read_bytes()
        whole = str(Path(path).resolve())
    except OSError as error:
        raise TextError(f"cannot read {path}: {error.strerror or error}") from error
    return read_bytes(data, str(path), whole)


def read_bytes(data: bytes, name: str, path: str = "") -> Document:
    """The document in some bytes; `name` tells its kind by its ending, and is what errors say.

    Raises:
        TextError: as `read_file`.
    """
    if not data.strip():
        raise TextError(f"{name} is empty; give a document with words")
    title, blocks = _blocks(data, name)
    fallback = PurePath(name).name
    title = title if any(map(str.isalnum, title)) else fallback
    return Document.of(title, blocks, path, hashlib.sha256(data).hexdigest())


def _blocks(data: bytes, name: str) -> tuple[str, list[Block]]:
    """The title, "" if there is none, and the paragraphs."""
    ending = PurePath(name).suffix.lower()
    if b"%PDF-" in data[:1024]:
        return pdf.blocks(data, name)
    if data.startswith(b"PK") and (ending == ".epub" or b"application/epub+zip" in data[:200]):
        return epub.blocks(data, name)
    for mark, kind in _OTHERS:
        if data.startswith(mark):
            raise TextError(f"{name} is {kind}; read takes text, Markdown, HTML, EPUB and PDF")
    if ending in (".epub", ".pdf"):
        raise TextError(f"{name} is damaged, or not what its name says; get it again")
    text = encodings.decode(data, name, _declared(data[:_HEAD]))
    if ending in _MARKDOWN:
        return markdown.blocks(text)
    if ending in _HTML or _LOOKS_LIKE_HTML.match(text[:_HEAD]):
        return html.blocks(text)
    return "", list(plaintext.blocks(text))


def _declared(head: bytes) -> str | None:
    """The encoding that a page says it is in."""
    found = _DECLARED.search(head)
    return (found[1] or found[2]).decode("ascii") if found else None
