"""Documents made to hang `read` or to fill the memory are refused, or read in time."""

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import pytest

from read_samples import epub
from spark_mlx.errors import TextError
from spark_mlx.reader.documents import Document
from spark_mlx.reader.formats.detect import read_bytes, read_file

MOST_SECONDS = 5.0  # of this process's own time, on a slow machine


def read(data: bytes, name: str) -> Document | str:
    """The document, or the refusal; in time, either way."""
    begun = time.process_time()
    try:
        answer: Document | str = read_bytes(data, name)
    except TextError as error:
        answer = str(error)
        assert "\n" not in answer
        assert len(answer) < 500
    assert time.process_time() - begun < MOST_SECONDS
    return answer


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<!---->" * 27 + b"x", "comments.txt"),
        (b"<?" * 2000 + b"x", "instructions.txt"),
        (b"<p>" * 199_000, "tags.html"),
        (b"<p>a" * 199_000, "paragraphs.html"),
        (b"<div>" * 100_000 + b"x", "deep.html"),
        (b"<div><span>x" * 90_000, "deep-phrases.html"),
        (b"<table><tr><td>" * 20_000, "tables.html"),
        (b"<ol start='--5'><li>a</li></ol>", "start.html"),
        (b"<ol start='" + b"9" * 6000 + b"'><li>a</li></ol>", "long-start.html"),
        (b"[" * 30_000, "brackets.md"),
        (b"> " * 30_000 + b"a", "quotes.md"),
        (b"*a " * 30_000, "stars.md"),
        (b"---\ntitle:" + b" " * 200_000 + b"x\n---\nhello", "title.md"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_slow_patterns(data: bytes, name: str) -> None:
    read(data, name)


def test_the_html_behind_comments_is_found() -> None:
    page = b"<?xml version='1.0'?> <!-- a --><!-- <p> --> <!DOCTYPE html><p>one<p>two"
    document = read(page, "page")
    assert isinstance(document, Document)
    assert [paragraph.text for paragraph in document.paragraphs] == ["one", "two"]


def test_too_many_tags_are_refused() -> None:
    assert "split it" in str(read(b"<p>" * 200_001, "page.html"))
    assert "split it" in str(read(b"a" * 20_000_001, "page.html"))
    book = epub(dict.fromkeys("abcd", "<p>a</p>" * 50000))
    assert "split it" in str(read(book, "book.epub"))
    assert len(book) < 40_000


def test_a_page_that_a_book_lists_often_is_read_once() -> None:
    document = read(epub({"a": "<p>one</p>"}, spine=["a"] * 100_000), "book.epub")
    assert isinstance(document, Document)
    assert document.text == "one"


def test_a_doctype_of_many_doctypes() -> None:
    book = epub({"a": "one"}, extra={})
    page = "<!DOCTYPE [" * 40_000 + "<p>hello"
    read(_replaced(book, "OEBPS/text/a page.xhtml", page), "book.epub")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_book_packed_in_other_ways_is_refused(method: int) -> None:
    book = _replaced(epub({"a": "one"}), "OEBPS/text/a page.xhtml", "<p>one", method)
    assert "packed in a way" in str(read(book, "book.epub"))


def test_an_encrypted_part_is_refused() -> None:
    book = bytearray(epub({"a": "one"}))
    at = book.rindex(b"PK\x01\x02", 0, book.rindex(b"OEBPS/text/a page"))
    book[at + 8] |= 1  # the flag of encryption in the central directory
    assert "encrypted" in str(read(bytes(book), "book.epub"))


def test_a_file_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spark_mlx.reader.formats.detect._MAX_BYTES", 1 << 20)
    with pytest.raises(TextError, match="longer than"):
        read_file("/dev/zero")


def test_a_name_that_is_no_text_is_shown_as_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\x1b[2J.txt")
    path.write_text("hello")
    document = read_file(path)
    document.title.encode()
    assert "\x1b" not in document.title


def _replaced(book: bytes, name: str, text: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            if entry.filename == name:
                new.writestr(name, text, method)
            else:
                new.writestr(entry, old.read(entry))
    return file.getvalue()
