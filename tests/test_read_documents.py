"""Documents of every kind, as a listener expects them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT
from read_samples import column, epub, pdf
from spark_mlx.errors import TextError
from spark_mlx.reader.documents import LONGEST_PARAGRAPH, Document
from spark_mlx.reader.formats.detect import read_bytes, read_file

DATA = ROOT / "tests" / "data" / "read"


def said(data: bytes | str, name: str) -> list[str]:
    """The paragraphs of a document; a heading with its level before it."""
    document = read_bytes(data.encode() if isinstance(data, str) else data, name)
    return [f"{'#' * p.level} {p.text}".lstrip() for p in document.paragraphs]


# What all of them have.


def test_places_lead_to_the_text() -> None:
    document = read_file(DATA / "island.md")
    for index, paragraph in enumerate(document.paragraphs):
        assert document.text[paragraph.start : paragraph.end] == paragraph.text
        assert document.paragraph_at(paragraph.start) == index
        assert document.paragraph_at(paragraph.end) == index
        spans = document.sentences(index)
        assert spans[0][0] >= paragraph.start
        assert spans[-1][1] <= paragraph.end
        for span in spans:
            assert document.sentence_at(span[0]) == document.sentence_at(span[1] - 1) == span


def test_sentences_one_after_another() -> None:
    document = read_bytes(b"# One heading\n\nFirst of them all. Second of them. \n\nThird.", "x.md")
    found = [document.sentence_at(0)]
    while (span := document.sentence_after(found[-1][0])) is not None:
        found.append(span)
    texts = [document.text[a:b] for a, b in found]
    assert texts == ["One heading", "First of them all.", "Second of them.", "Third."]
    back = [found[-1]]
    while (span := document.sentence_before(back[-1][0])) is not None:
        back.append(span)
    assert back[::-1] == found


def test_what_moves_a_cursor_is_gone() -> None:
    document = read_bytes(
        "A\x1b[31mred\x1b[0m w\u200bord\x07, \u202enot\u202c\tturned\x9b2J.".encode(), "x.txt"
    )
    assert document.text == "Ared word, not turned."


def test_a_long_paragraph_is_cut_and_nothing_is_lost() -> None:
    text = "A sentence of some words follows. " * 1000
    document = read_bytes(text.encode(), "x.txt")
    assert max(len(p.text) for p in document.paragraphs) <= LONGEST_PARAGRAPH
    assert all(p.text.endswith(".") for p in document.paragraphs)
    assert " ".join(p.text for p in document.paragraphs) == text.strip()


def test_titles() -> None:
    assert read_file(DATA / "island.md").title == "The Island of Clocks"
    assert read_bytes(b"# Head\n\nText.", "x.md").title == "Head"
    assert read_bytes(b"<title>A\n page</title><p>Text.", "x.html").title == "A page"
    assert read_bytes(epub({"a": "<p>Text.</p>"}), "x.epub").title == "A Book"
    assert read_bytes(pdf([column("Text.")], "A paper"), "x.pdf").title == "A paper"
    assert read_bytes(b"Text.", "some/x.txt").title == "x.txt"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("lines.txt", b"Hard-wrapped lines of some sixty characters, as they are in\n" * 84_000),
        ("paragraphs.txt", b"One paragraph of a book, in a single line. It goes on.\n\n" * 90_000),
        ("one.txt", b"Everything stands in one line. " * 162_000),
        ("words.txt", b"word " * 1_000_000),
        ("a.txt", b"a" * 5_000_000),
        ("blanks.txt", b" " * 5_000_000 + b"end"),
        ("chinese.txt", "我们读一本很长的书。它没有一个空格。".encode() * 93_000),
    ],
)
def test_five_megabytes_open_at_once(name: str, data: bytes) -> None:
    assert len(data) > 4_900_000
    begun = time.process_time()  # of this process alone: the machine may be busy
    document = read_bytes(data, name)
    document.sentence_at(document.end // 2)
    assert time.process_time() - begun < 1


# Plain text.


def test_wrapped_lines_are_put_together() -> None:
    text = """\
Dear Tom,

This letter was written in a program that breaks every line after
some sixty characters, and so a paragraph takes several of them.
It ends here.
    A new one may begin with an indent instead of a blank line, as
it is done in books.

- first item of a list
- second item, which is so long that it had to be continued on the
  line below
"""
    assert said(text, "x.txt") == [
        "Dear Tom,",
        "This letter was written in a program that breaks every line after some sixty characters, "
        "and so a paragraph takes several of them. It ends here.",
        "A new one may begin with an indent instead of a blank line, as it is done in books.",
        "- first item of a list",
        "- second item, which is so long that it had to be continued on the line below",
    ]


def test_verses_keep_their_lines() -> None:
    assert said("Tyger Tyger, burning bright,\nIn the forests of the night;\n", "x.txt") == [
        "Tyger Tyger, burning bright,\nIn the forests of the night;"
    ]


def test_chinese_lines() -> None:
    wrapped = "春眠不觉晓，处处闻啼鸟，夜来风雨声，花落知多少，这一行很长，\n下一行接着说。\n"
    assert said(wrapped, "x.txt") == [wrapped.replace("\n", "")]
    novel = "第一章 开始\n　　" + "从前有一座山，山里有一座庙。" * 9 + "\n　　庙里有一个老和尚。\n"
    heading, first, second = said(novel, "x.txt")
    assert heading == "# 第一章 开始"
    assert first.startswith("从前")
    assert second == "庙里有一个老和尚。"


def test_headings_of_plain_text() -> None:
    assert said("CHAPTER IV. The Sea\n\nIt was wide.\n\nTHE END\n", "x.txt") == [
        "# CHAPTER IV. The Sea",
        "It was wide.",
        "# THE END",
    ]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Café “naïve” — 你好。", "utf-8"),
        ("Café “naïve” — 你好。", "utf-8-sig"),
        ("Café “naïve” — 你好。", "utf-16"),
        ("Café naïve, with some more letters.", "utf-16-le"),
        ("Café naïve, with some more letters.", "utf-16-be"),
        ("Café “naïve” — 你好。", "utf-32"),
        ("The café was naïve, said “Zoë”.", "cp1252"),
        ("这是一本关于语音合成的书。我们先从简单的句子开始，然后再读长的段落。", "gb18030"),
        ("這是一本關於語音合成的書。我們先從簡單的句子開始，然後再讀長的段落。", "big5"),
    ],
)
def test_encodings(text: str, encoding: str) -> None:
    assert said(text.encode(encoding), "x.txt") == [text]


def test_utf8_that_was_cut_off() -> None:
    text = "一本很长的书，下载到一半就断了，所以最后一个字不完整。" * 3
    assert said(text.encode()[:-1], "x.txt") == [text[:-1]]


# Markdown and HTML.


def test_markdown() -> None:
    assert said((DATA / "island.md").read_bytes(), "island.md")[2:] == [
        "“It is noon,” he said. “It is noon somewhere on the island at every minute of the day.”",
        "## The keeper",
        "Her name was Ada Lin, and she had kept the clocks for 41 years. She spoke to each of them "
        "in the language it was built in: English, 中文, or the slow dialect of the hills. "
        "你好，老朋友。今天你又慢了三分钟，是不是想家了？没关系，我们一起等。",
        "A clock that is wrong twice a day is a poet. A clock that is wrong all day is a friend.",
        "She showed us three of them:",
        "1. the tall one in the harbour, which the gulls obey;",
        "2. the water clock behind the bakery;",
        "3. a wristwatch, found in a whale.",
        "Clock: Harbour; Built: 1871; Runs: fast.",
        "Clock: Bakery; Built: 1902; Runs: on water.",
        "Code of 3 lines, left out.",
        "Café owners set their naïve sundials by noon(); the sundials, naturally, took no notice.",
        "## The storm",
        "That night the wind came from everywhere. One after another the clocks fell silent, and "
        "for the first time in her life Ada could hear the sea. She did not wind them again until "
        "morning.",
        "1. She counted them in repairs, not in years.",
    ]


def test_html_leaves_out_what_surrounds_the_text() -> None:
    page = """<!DOCTYPE html><html><head><title>T</title><style>p {}</style></head><body>
    <header><p>Site</p></header><nav><a href="/">Home</a></nav>
    <script>var x = "never";</script><noscript>no</noscript>
    <h1>Head<span hidden>en</span></h1>
    <p>One <b>bold</b>, <a href="https://example.org">linked</a> word<sup><a href="#n">[1]</a></sup>
    and x<sup>2</sup>.</p><p style="display: none">unseen</p><p aria-hidden="true">☃ abc</p>
    <div>Loose text<p>Inner</p>more<br>lines</div>
    <form><label>Search</label><input value="x"><button>Go</button></form>
    <img src="a.png" alt="A red door"><img src="b.png" alt=""><img src="c.png">
    <ruby>汉<rp>(</rp><rt>hàn</rt><rp>)</rp></ruby>
    <ol start="3"><li>third<ul><li>deeper</li></ul></li><li><p>fourth</p><p>again</p></li></ol>
    <dl><dt>Term</dt><dd>Meaning</dd></dl>
    <div role="navigation">links</div><footer>Imprint</footer></body></html>"""
    assert said(page, "x.html") == [
        "# Head",
        "One bold, linked word and x2.",
        "Loose text",
        "Inner",
        "more\nlines",
        "Image: A red door. 汉",
        "3. third",
        "deeper",
        "4. fourth",
        "again",
        "Term",
        "Meaning",
    ]


def test_html_reads_the_main_part() -> None:
    assert said("<p>before<main><p>Text</main><p>after", "x.html") == ["Text"]
    assert said("<p>before<article><p>Text</article><p>after", "x.html") == ["Text"]
    assert len(said("<article>One</article><article>Two</article>", "x.html")) == 2


def test_tables() -> None:
    table = (
        "<table><caption>Ages</caption><tr><th>Name<th>Age<tr><td>Ada<td>36<tr><td>Bo<td></table>"
    )
    assert said(table, "x.html") == ["Ages", "Name: Ada; Age: 36.", "Name: Bo."]
    assert said("<table><tr><td>Ada<td>36</table>", "x.html") == ["Ada; 36."]
    layout = "<table><tr><td><p>First</p><p>Second</p><table><tr><td>x<td>y</table></table>"
    assert said(layout, "x.html") == ["First", "Second", "x; y."]


def test_code() -> None:
    assert said("Run\n\n    make test\n\nthen\n\n```\na\n\nb\n```\n", "x.md") == [
        "Run",
        "make test",
        "then",
        "Code of 2 lines, left out.",
    ]
    assert said("先运行下面的代码，\n然后再看结果。\n\n```\na\nb\n```\n", "x.md") == [
        "先运行下面的代码，然后再看结果。",
        "2 行代码，略去。",
    ]


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="gbk">', "gbk"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=big5">', "big5"),
        ('<meta charset="no-such">', "utf-8"),
    ],
)
def test_html_says_its_encoding(head: str, encoding: str) -> None:
    assert said(f"<html>{head}<p>中文".encode(encoding), "x.html") == ["中文"]


def test_html_is_known_without_its_name() -> None:
    assert said("<!-- c --><!DOCTYPE html><p>Text", "stdin") == ["Text"]
    assert said("a < b and <html> is a tag", "stdin") == ["a < b and <html> is a tag"]


# EPUB.


def test_epub_in_the_order_of_its_spine() -> None:
    book = epub(
        {
            "nav": "<nav><a href='b'>Contents</a></nav>",
            "b": "<header><h2>Second</h2></header><p>Tea &amp; caf&eacute;&nbsp;now.</p>",
            "a": "<h1>First</h1><p>Text<a epub:type='noteref' href='#n'>1</a>.</p>",
            "c": "<p>never</p>",
        },
        spine=["nav", "a", "c-", "b"],
    )
    assert said(book, "x.epub") == ["# First", "Text.", "## Second", "Tea & café now."]
    assert said(book, "stdin") == said(book, "x.epub")


def test_epub_with_chapters_that_are_not_well_formed() -> None:
    assert said(epub({"a": "<p>One<br>two <b>three</p>"}), "x.epub") == ["One\ntwo three"]


def test_epub_without_a_spine() -> None:
    book = epub({"nav": "<p>no</p>", "one": "<p>One</p>", "two": "<p>Two</p>"}, spine=[])
    assert said(book, "x.epub") == ["One", "Two"]


def test_bad_epubs() -> None:
    font = '<EncryptionMethod Algorithm="http://www.idpf.org/2008/embedding"/>'
    lock = '<EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>'
    whole = {"a": "<p>One</p>"}

    def locked(method: str) -> bytes:
        return epub(whole, extra={"META-INF/encryption.xml": f"<encryption>{method}</encryption>"})

    assert said(locked(font), "x.epub") == ["One"]
    bomb = epub({"a": f"<p>{'a' * 1000}</p>", "b": " " * (21 << 20)})
    for book, complaint in (
        (locked(lock), "locked by its seller"),
        (epub(whole)[:-40], "damaged"),
        (epub(whole)[:300], "damaged"),
        (epub(whole, manifest=False), "no chapters"),
        (epub({"a": "<img src='a.png'/>"}), "no chapters with text"),
        (epub(whole, extra={"META-INF/encryption.xml": "<a"}), "damaged"),
        (bomb, "more than 20 MB"),
    ):
        with pytest.raises(TextError, match=complaint):
            read_bytes(book, "x.epub")


# PDF.

BODY = """\
The first paragraph of a paper fills its lines from one edge to the other,
since a word that finds no room is put on the next one, or is divi-
ded as this one was. A well-known compound keeps its hyphen, as in well-
known cases. It ends here.
  An indent begins the next paragraph, and it goes on for two or more
lines before it ends."""


def test_pdf_paragraphs() -> None:
    page = [(70, 790, 20, "A Heading"), *column(BODY), *column("After a gap.", top=640)]
    assert said(pdf([page]), "x.pdf") == [
        "# A Heading",
        "The first paragraph of a paper fills its lines from one edge to the other, since a word "
        "that finds no room is put on the next one, or is divided as this one was. A well-known "
        "compound keeps its hyphen, as in well-known cases. It ends here.",
        "An indent begins the next paragraph, and it goes on for two or more lines before it ends.",
        "After a gap.",
    ]


def test_pdf_edges_of_pages_are_left_out() -> None:
    parts = [
        "A sentence that begins on the first of the pages, and which is so long, it",
        "does not end before the second of them. Another one follows on the same, and",
        "that one, for a change, comes to its end on the third page.",
        "The last page has a sentence of its own.",
    ]
    pages = [
        [
            (70, 810, 9, "A Paper" if i % 2 else "A. Author"),
            *column(part),
            (290, 40, 9, f"- {i + 1} -"),
            (70, 30, 8, f"Printed 2024, page {i + 1}"),
        ]
        for i, part in enumerate([*parts, *(f"Page {name} says this." for name in ("five", "six"))])
    ]
    assert said(pdf(pages), "x.pdf") == [
        " ".join(parts[:3]),
        parts[3],
        "Page five says this.",
        "Page six says this.",
    ]


def test_pdf_two_columns() -> None:
    left = "The left column is read\nfirst, from its top to its"
    right = "bottom, and then the\nright one. That is all."
    page = [*column(left), *column(right, left=320)]
    assert said(pdf([page]), "x.pdf") == [
        "The left column is read first, from its top to its bottom, and then the right one. "
        "That is all."
    ]


def test_bad_pdfs() -> None:
    whole = pdf([column("Text.")])
    for data, complaint in (
        ((DATA / "encrypted.pdf").read_bytes(), r"encrypted.*password"),
        (whole[:200], "damaged"),
        (b"%PDF-1.4\n", "damaged"),
        (pdf([[]]), "pictures of text"),
    ):
        with pytest.raises(TextError, match=complaint):
            read_bytes(data, "x.pdf")


# What is refused.


@pytest.mark.parametrize(
    ("data", "name", "complaint"),
    [
        (b"", "x.txt", "x.txt is empty"),
        (b" \n\t", "x.md", "empty"),
        (b"* * *\n\n---", "x.txt", "nothing to read"),
        (b"<script>x</script>", "x.html", "nothing to read"),
        (b"<!-- -->", "x.html", "nothing to read"),
        (b"PK\x03\x04" + bytes(60), "x.docx", "office document"),
        (b"\x7fELF" + bytes(60), "x", "a program"),
        (b"\x89PNG\r\n", "x.txt", "a picture"),
        (bytes(range(256)) * 9, "x.txt", "not a text"),
        (b"\x00\x01\x02\x03" * 9, "x.txt", "not a text"),
        (b"\x01\x02\x03 abc" * 9, "x.txt", "not a text"),
        (b"hello", "x.pdf", "not what its name says"),
        (b"hello", "x.epub", "not what its name says"),
    ],
)
def test_refused(data: bytes, name: str, complaint: str) -> None:
    with pytest.raises(TextError, match=complaint):
        read_bytes(data, name)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="No such file"):
        read_file(tmp_path / "gone.txt")
    with pytest.raises(TextError, match="directory"):
        read_file(tmp_path)


@pytest.mark.parametrize(
    ("module", "data", "name"),
    [
        ("markdown_it", b"# Text", "x.md"),
        ("lxml", b"<p>Text", "x.html"),
        ("lxml", epub({"a": "<p>Text</p>"}), "x.epub"),
        ("pypdfium2", pdf([column("Text.")]), "x.pdf"),
        ("charset_normalizer", "这是一本关于语音合成的书。".encode("gbk"), "x.txt"),
    ],
)
def test_without_the_extra(
    module: str, data: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [*sys.modules, module]:
        if loaded.partition(".")[0] == module:
            monkeypatch.setitem(sys.modules, loaded, None)
    assert read_bytes(b"Plain text needs nothing.", "x.txt").end == 25
    with pytest.raises(TextError, match=rf"takes {module}.*pip install 'spark-mlx\[read\]'"):
        read_bytes(data, name)


def test_a_document_knows_its_language() -> None:
    assert Document.of("x", [*_blocks("这是中文 with some English 的句子。")]).is_chinese
    assert not read_file(DATA / "island.md").is_chinese


def _blocks(*texts: str) -> list:
    from spark_mlx.reader.documents import Block

    return [Block(text) for text in texts]
