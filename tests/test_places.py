"""Pieces know which characters of the caller's text they speak."""

from __future__ import annotations

import random

import pytest

from spark_mlx.text import Boundary, clean, segment
from spark_mlx.text.alignment import AlignedText
from spark_mlx.text.normalization import normalise
from spark_mlx.text.segmentation import cut

WRAPPED = (
    "This line of a plain text file was cut at its seventieth column, where\r\n"
    "it goes on with 3 more words. And that is all there was to say of it.\r\n"
)
PARTS = [
    "It was the best of times, it was the worst of times. ",
    "“Why?” she asked; he did not know — not yet! ",
    "No. ",
    "话说天下大势，分久必合，合久必分。",
    "“你来了？”她问：他却不说话……",
    "He said 你好 and left. ",
    "See https://www.example.com/docs/index.html?page=12 for more. ",
    "Mail john.smith42@example.com now. ",
    "$1,234.56 or £3.5m or €20–30? ",
    "On 25/12/2024 at 9:05, MP3 and H2O. ",
    "2024年5月3日，¥300元，50%。",
    "1234567890123456789012345678 ",
    "Mr. Smith & Dr. Jones, e.g., etc. ",
    "Great 😀 work 👍! ",
    "so\u00adft\u200bly \ufeff",
    "***",
    "word",
    "字",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\n \t\n",
    "\u3000",
    "\u2028",
    WRAPPED,
]


def unaligned(text: str, limit: int) -> list[str]:
    """What is spoken of a text in words, without a caller's text behind it."""
    return [piece.spoken for piece in cut(text, AlignedText.unchanged(text), limit)]


def test_places_are_the_callers() -> None:
    text = (
        "\ufeff  Dear\tall,\r\n\r\nit costs $5 at 9:05, which is so\u00adft. 你好，世界！再见。\r\n"
    )
    found = segment(text, 60)
    assert [(piece.text, piece.spoken) for piece in found] == [
        ("Dear\tall,", "Dear all,"),
        (
            "it costs $5 at 9:05, which is so\u00adft.",
            "it costs five dollars at nine oh five, which is soft.",
        ),
        ("你好，世界！再见。", "你好，世界！再见。"),
    ]
    assert [text[slice(*piece.span)] for piece in found] == [piece.text for piece in found]


def test_a_hard_wrapped_sentence_keeps_its_line_break() -> None:
    first, second = segment(WRAPPED)
    assert first.text == WRAPPED[: WRAPPED.index(" And")]
    assert "\r\n" in first.text
    assert first.spoken == clean(WRAPPED)[: clean(WRAPPED).index(" And")].replace("3", "three")
    assert second.sentence == 1


def test_spans_cover_all_that_has_a_sound_once_and_in_order() -> None:
    chance = random.Random(0)
    for _ in range(1000):
        text = "a" + "".join(chance.choices(PARTS, k=chance.randrange(1, 12)))
        found = segment(text, chance.choice([1, 7, 40, 200]))
        done = 0
        for piece in found:
            start, end = piece.span
            assert done <= start <= end <= len(text)
            assert not any(map(str.isalnum, text[done:start])), (text, piece)
            assert piece.text == text[start:end]
            done = end
        assert not any(map(str.isalnum, text[done:])), text


def test_ordinary_pieces_begin_and_end_with_their_words() -> None:
    chance = random.Random(1)
    for _ in range(300):
        text = "a" + "".join(chance.choices(PARTS, k=chance.randrange(1, 12)))
        for piece in segment(text):
            assert piece.text == piece.text.strip(" \r\n\t")
            assert any(map(str.isalnum, piece.text))


def test_what_is_spoken_is_the_same_without_places() -> None:
    chance = random.Random(2)
    for _ in range(300):
        text = "a" + "".join(chance.choices(PARTS, k=chance.randrange(1, 12)))
        limit = chance.choice([10, 50, 200])
        spoken = [piece.spoken for piece in segment(text, limit)]
        assert spoken == unaligned(normalise(clean(text)), limit)


def test_a_long_address_is_shared_out() -> None:
    text = "https://www.example.com/" + "-".join(["part"] * 40)
    found = segment(text)
    assert len(found) > 1
    assert "".join(piece.text for piece in found) == text
    assert all(piece.text for piece in found)


@pytest.mark.parametrize(
    ("text", "boundaries"),
    [
        ("This is a sentence. This is one more.", "SP"),
        ("This is a sentence.\nThis is one more.", "PP"),
        ("This is a sentence.\r\n\r\nThis is one more.", "PP"),
        ("This is a heading\n* * *\nThis is a text.", "PP"),
        ("This is the first verse,\nand this the second.", "CP"),
        ("这是第一句话，很好。这是第二句话。", "SP"),
        ("Some words, " * 20 + "and the end. This is one more.", "CSP"),
    ],
)
def test_boundaries(text: str, boundaries: str) -> None:
    assert "".join(Boundary(piece.boundary).name[0] for piece in segment(text)) == boundaries


def test_parts_of_a_long_sentence_share_its_number() -> None:
    text = "This is the start. " + "Some words, " * 20 + "and the end. This is one more."
    assert [piece.sentence for piece in segment(text)] == [0, 1, 1, 2]


def test_replace() -> None:
    aligned = AlignedText.unchanged("a 10 b").replace([(2, 4, "one two")])
    assert aligned.text == "a one two b"
    assert aligned.span(0, 1) == (0, 1)
    assert aligned.span(2, 9) == (2, 4)
    assert (aligned.span(2, 5), aligned.span(6, 9)) == ((2, 3), (3, 4))
    assert aligned.span(10, 11) == (5, 6)
    gone = aligned.replace([(2, 10, "")])
    assert (gone.text, gone.span(0, 3)) == ("a b", (0, 6))
