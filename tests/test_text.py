"""Texts checked, tidied, and cut where a reader would draw breath."""

from __future__ import annotations

import random
import time

import pytest

from spark_mlx.errors import TextError
from spark_mlx.text import clean, expected_seconds, halves, segment, syllables
from spark_mlx.text.alignment import AlignedText
from spark_mlx.text.segmentation import LONGEST_PIECE, cut
from spark_mlx.text.tidy import LONGEST_TEXT, dropped


def split(text: str, limit: int = LONGEST_PIECE) -> list[str]:
    """Cuts a text that is tidy and in words already."""
    return [piece.spoken for piece in cut(text, AlignedText.unchanged(text), limit)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        (" \n\t\u200b\ufeff ", "empty"),
        ("?!… — ***", "nothing to say"),
        ("😀👍", "nothing to say"),
        ("\0\ud800", "empty"),
        ("a" * 100_000, "100,000 characters.*50,000.*in parts"),
    ],
)
def test_clean_refuses(text: str, complaint: str) -> None:
    with pytest.raises(TextError, match=complaint):
        clean(text)


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("  Hello,\t world.\u00a0\u3000Yes ", "Hello, world. Yes"),
        ("\ufeffso\u00adft\u200bly", "softly"),
        ("Title\n\n\n  Body.\r\nMore", "Title\nBody.\nMore"),
        ("milk\neggs", "milk\neggs"),
        ("a\ud800b", "ab"),
        ("abc\x1b[0m \0d", "abc[0m d"),
        ("<|bicodec_global_5|>", "<|bicodec_global_5|>"),
        ("½ ٣ 三", "½ ٣ 三"),
    ],
)
def test_clean(text: str, tidied: str) -> None:
    assert clean(text) == tidied


def test_clean_joins_wrapped_lines_only() -> None:
    line = "This line of a plain text file was cut at its seventieth column, where"
    assert clean(f"{line}\nI went on.\nNext.\n\nLast.") == f"{line} I went on.\nNext.\nLast."
    assert clean(f"{line}\n\nA new paragraph") == f"{line}\nA new paragraph"
    assert clean(f"{line}.\nA new sentence") == f"{line}.\nA new sentence"


def test_damaged_characters_are_told_of() -> None:
    assert dropped("Fine.\n\t\u200b") == ""
    assert dropped("a\x00b") == "1 control character was left out (U+0000)"
    assert dropped("\x1b[0m\ud800\x1b") == "3 control characters were left out (U+001B, U+D800)"


def test_longest_text() -> None:
    assert len(clean("a" * LONGEST_TEXT)) == LONGEST_TEXT


def test_split_leaves_what_fits() -> None:
    assert split("One. Two! Three?") == ["One. Two! Three?"]
    assert split("Heading\nBody. More.") == ["Heading", "Body. More."]


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        # sentences
        ("One two three. Four five six.", 20, ["One two three.", "Four five six."]),
        ('He said "go." Then he (really!) left.', 25, ['He said "go."', "Then he (really!) left."]),
        ("今天天气很好。“走吧！”她说。", 9, ["今天天气很好。", "“走吧！”她说。"]),
        ("你好!今天很好?是的", 5, ["你好!", "今天很好?", "是的"]),
        # what is no end of a sentence
        ("We saw Mr. Smith. He ran.", 20, ["We saw Mr. Smith.", "He ran."]),
        ("By J. R. Tolkien. In full.", 20, ["By J. R. Tolkien.", "In full."]),
        ("In the U.S. Army. At ease.", 20, ["In the U.S. Army.", "At ease."]),
        ("Fruit, e.g. Apples. Good.", 20, ["Fruit, e.g. Apples.", "Good."]),
        ("It is 3.14 or so. At best.", 20, ["It is 3.14 or so.", "At best."]),
        ("Well... maybe not. Or yes.", 20, ["Well... maybe not.", "Or yes."]),
        ('"Stop!" he cried. They ran.', 20, ['"Stop!" he cried.', "They ran."]),
        # clauses, then words, then anywhere
        ("one two three, four five six", 16, ["one two three,", "four five six"]),
        ("a 1,000 b; c d e f g", 12, ["a 1,000 b;", "c d e f g"]),
        ("红的苹果，绿的梨子、黄的", 6, ["红的苹果，", "绿的梨子、", "黄的"]),
        ("one two three four", 10, ["one two", "three four"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("一二三四五六七八九十", 6, ["一二三四五", "六七八九十"]),
        # symbols join a neighbour
        ("Hello.\n***\nWorld", 20, ["Hello. ***", "World"]),
        ("***\nWorld", 20, ["*** World"]),
    ],
)
def test_split(text: str, limit: int, pieces: list[str]) -> None:
    assert split(text, limit) == pieces


def test_split_makes_pieces_of_even_length() -> None:
    lengths = [len(piece) for piece in split("word " * 50)]
    assert len(lengths) == 2
    assert max(lengths) - min(lengths) <= 5


def test_split_drops_only_what_has_no_sound() -> None:
    assert split("=" * 500 + "\nEnd", 10)[-1].endswith("End")
    assert split("Full piece\n" + "-" * 50, 10) == ["Full piece"]


def test_nothing_is_lost_or_reordered() -> None:
    chance = random.Random(0)
    alphabet = "ab Z9 .,;:!?…。！？，、—\"'”)( \n字天Mr. 3.5"
    for _ in range(500):
        text = clean("a" + "".join(chance.choices(alphabet, k=chance.randrange(1, 300))))
        limit = chance.choice([1, 2, 7, 40, 200])
        pieces = split(text, limit)
        assert all(0 < len(piece) <= limit for piece in pieces)
        assert all(any(c.isalnum() for c in piece) for piece in pieces)
        assert audible("".join(pieces)) == audible(text)


def audible(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@pytest.mark.parametrize("part", [",", ".", "—", '"', '."', ", ", "a ", "a", "a.b", "\n", "*\n"])
def test_hostile_texts_take_no_time(part: str) -> None:
    text = part * (49_000 // len(part)) + "a"
    start = time.process_time()
    split(clean(text))
    assert time.process_time() - start < 2  # quadratic would be ten seconds or more


def test_expected_seconds() -> None:
    assert expected_seconds("a" * 140) == pytest.approx(10)
    assert expected_seconds("字" * 45) == pytest.approx(10)
    assert expected_seconds("2025") == pytest.approx(1.6)
    assert expected_seconds(" .,!") == 0
    assert expected_seconds("ab 字 1") == pytest.approx(2 / 14 + 1 / 4.5 + 0.4)
    # A sentence whose reading takes some three seconds.
    assert 2 < expected_seconds("The quick brown fox jumps over the lazy dog today.") < 4


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Yes. I went to the shop. No!", ["Yes, I went to the shop, No!"]),
        ("Well... I... don't know...", ["Well, I, don't know..."]),
        ("Wait…what? No way.", ["Wait, what, No way."]),
        ('"Stop!" he said. Off.', ['"Stop," he said, Off.']),
        (
            "Ask the Capt. of ex. 3.5, etc., now.",
            ["Ask the Capt of ex three point five, etc, now."],
        ),
        ("I can. See example.com now.", ["I can, See example dot com now."]),
        ("好。走吧！", ["好，走吧！"]),
        ("J. R. R. Tolkien, at 3 p.m. now.", ["J R R Tolkien, at three PM now."]),
    ],
)
def test_single_sentences(text: str, spoken: list[str]) -> None:
    found = segment(text, single_sentences=True)
    assert [piece.spoken for piece in found] == spoken
    assert "".join(piece.text for piece in found).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("made makes walked closed the be people", 8),
        ("tables boxes wanted agree battles idea", 12),
        ("PM PhD hmm don't we're", 10),
        ("你好，世界！3 и привет", 8),
        ("", 0),
    ],
)
def test_syllables(text: str, count: int) -> None:
    assert syllables(text) == count


@pytest.mark.parametrize(
    ("spoken", "parts"),
    [
        ("When it rained, nobody came.", ["When it rained.", "nobody came."]),
        ("Nobody came when it rained.", ["Nobody came.", "when it rained."]),
        ("今天天气很好，我们走吧。", ["今天天气很好。", "我们走吧。"]),
        ("今天天气很好", ["今天天。", "气很好"]),
        ("Unpronounceable.", ["Unpronounceable."]),
        ("A —", ["A —"]),
    ],
)
def test_halves(spoken: str, parts: list[str]) -> None:
    assert halves(spoken) == parts
