"""Lines as wide as the screen, and the part of a document that it shows."""

from __future__ import annotations

import random

import pytest

from spark_mlx.reader.columns import fit, width, wrap
from spark_mlx.reader.documents import Block, Document
from spark_mlx.reader.viewport import Viewport


def lines(text: str, columns: int) -> list[str]:
    return [text[first:last] for first, last in wrap(text, columns)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", 3),
        ("中文", 4),
        ("e\u0301", 1),
        ("a\u20dd", 1),
        ("한글", 4),
        ("\u1112\u1161\u11ab", 2),  # the same syllable in three letters
        ("😀", 2),
        ("，", 2),
        ("½", 1),
        ("", 0),
    ],
)
def test_width(text: str, expected: int) -> None:
    assert width(text) == expected


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("", 5, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 8, ["one two", "three"]),
        ("one  two", 3, ["one", "two"]),
        ("abcdefgh i", 3, ["abc", "def", "gh", "i"]),
        ("ab cdefgh", 4, ["ab", "cdef", "gh"]),
        ("first\nsecond line", 20, ["first", "second line"]),
        ("春眠不觉晓", 4, ["春眠", "不觉", "晓"]),
        ("春眠不觉晓", 5, ["春眠", "不觉", "晓"]),
        ("春眠，不觉", 4, ["春", "眠，", "不觉"]),  # no comma begins a line
        ("他说「好」吗", 6, ["他说", "「好」", "吗"]),  # and no bracket ends one
        ("用 Spark 说话", 8, ["用 Spark", "说话"]),
        ("用Spark说话", 4, ["用", "Spar", "k说", "话"]),
        ("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"]),
        ("中", 1, ["中"]),
    ],
)
def test_wrap(text: str, columns: int, expected: list[str]) -> None:
    assert lines(text, columns) == expected


def test_wrap_loses_nothing_and_fits() -> None:
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choice("ab，。「」中文 e\u0301()\n😀") for _ in range(60)).strip()
        columns = draw.randint(4, 20)
        shown = lines(text, columns)
        assert "".join("".join(shown).split()) == "".join(text.split())
        assert all(width(line) <= columns for line in shown), (text, columns)


def test_fit() -> None:
    assert fit("abc", 3) == "abc"
    assert fit("abcd", 3) == "ab…"
    assert fit("中文字", 5) == "中文…"


TEXTS = [f"Paragraph {i} " + "with quite some words in it " * (i % 7) for i in range(200)]
DOCUMENT = Document.of("x", [Block(text) for text in TEXTS])


def seen(page: Viewport, place: int) -> int | None:
    """The row that shows a place."""
    for y, row in enumerate(page.rows()):
        if row.span is not None and row.span[0] <= place < row.span[1]:
            return y
    return None


def test_a_page_from_the_top() -> None:
    page = Viewport(Document.of("x", [Block("Head", 1), Block("one two three")]), 7, 9)
    page.show((0, 4))
    assert [(row.span, row.level) for row in page.rows()] == [
        ((0, 4), 1),
        (None, 1),
        ((6, 13), 0),
        ((14, 19), 0),
        (None, 0),
    ]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (20, 5), (7, 1), (200, 60), (1, 1)])
def test_every_sentence_comes_into_sight(columns: int, rows: int) -> None:
    page = Viewport(DOCUMENT, columns, rows)
    draw = random.Random(1)
    spans = [s for i in range(0, len(DOCUMENT.paragraphs), 9) for s in DOCUMENT.sentences(i)]
    for span in [*spans, *draw.sample(spans, len(spans))]:
        page.show(span)
        assert len(page.rows()) <= rows
        assert seen(page, span[0]) is not None


def test_a_page_stays_while_the_sentence_is_on_it() -> None:
    page = Viewport(DOCUMENT, 40, 20)
    first = DOCUMENT.sentences(0)[0]
    page.show(first)
    before = page.rows()
    for row in before:
        if row.span is not None and row.span != before[-1].span:
            page.show((row.span[0], row.span[0] + 1))
            assert page.rows() == before
    far = DOCUMENT.sentences(100)[0]
    page.show(far)
    assert seen(page, far[0]) == 20 // 4
    page.resize(20, 8)
    page.show(far)
    assert seen(page, far[0]) is not None
