"""Numbers, dates, amounts and abbreviations written out, by a table; prose left as it is."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path

import pytest

from spark_mlx.text.normalization import normalise, replacements
from spark_mlx.text.normalization.chinese import cardinal as chinese
from spark_mlx.text.normalization.english import cardinal, ordinal, year
from test_text import split

DATA = Path(__file__).parent / "data"


def table(name: str) -> list[list[str]]:
    """The rows of a table of cases, without its heading."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return list(csv.reader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE))


CASES = table("normalise.tsv")
PROSE = [
    "It was the best of times, it was the worst of times. “Why?” she asked; he did not know — "
    "not yet. I may go in March, or in May. The cat sat. No. Yes! A man (tall, thin) came in... "
    "then left: well-dressed, half-asleep.\nSt Ives lay far off. She had a PhD, he said. "
    "The Army and NASA kept quiet. He's the king's son; \"I'm,\" said Ann, 'mixed' up / down.",
    "话说天下大势，分久必合，合久必分。“你来了？”她问：他却不说话……《红楼梦》、《西游记》都很长！\n"
    "一百二十三个人，第三天，百分之五十。他说（小声地）——好吧；走。",
    "He said 你好 and left, 再见 was all she heard.",
]


@pytest.mark.parametrize(("language", "written", "spoken"), CASES)
def test_table(language: str, written: str, spoken: str) -> None:
    assert normalise(written) == spoken
    assert normalise(spoken) == spoken, "not the same when normalised again"


def test_the_table_is_large_and_its_cases_differ() -> None:
    assert len({written for _, written, _ in CASES}) == len(CASES) >= 130
    assert {language for language, _, _ in CASES} == {"en", "zh", "mixed"}


@pytest.mark.parametrize("prose", PROSE)
def test_prose_stays(prose: str) -> None:
    prose = prose.replace("St Ives", "Saint Ives")
    assert normalise(prose) == prose
    assert replacements(prose) == []


def test_replacements_say_where() -> None:
    text = "At 9:05, 3 km on."
    found = replacements(text)
    assert [text[one.start : one.end] for one in found] == ["9:05", "3 km"]
    assert [one.spoken for one in found] == ["nine oh five", "three kilometres"]


@pytest.mark.parametrize(("limit", "text", "pieces"), table("split.tsv"))
def test_split_table(limit: str, text: str, pieces: str) -> None:
    assert split(text, int(limit)) == pieces.split(" | ")


def test_any_text_goes_through() -> None:
    chance = random.Random(0)
    alphabet = [*"0123456789 .,:/-–%$£¥€@#&+=°½()年月日个点 aIVXm字第😀²٣\n"]
    alphabet += ["km", "am", "St.", "Mr.", "May ", "1st", "http://", ".com", "th", "'s"]
    for _ in range(3000):
        text = "".join(chance.choices(alphabet, k=chance.randrange(1, 40)))
        normalise(text)


@pytest.mark.parametrize(
    "part", ["1", "1,", "1 ", "1-", "1/", "1.", "a.", "a@", "$", "#a", "111,", "+1 ", "字1", "Mr. "]
)
def test_hostile_texts_take_no_time(part: str) -> None:
    text = part * (49_000 // len(part))
    start = time.process_time()
    normalise(text)
    assert time.process_time() - start < 4


def test_cardinals() -> None:
    assert cardinal(1_000_001) == "one million and one"
    assert cardinal(999_999) == (
        "nine hundred and ninety-nine thousand nine hundred and ninety-nine"
    )
    assert [ordinal(n) for n in (12, 30, 101)] == ["twelfth", "thirtieth", "one hundred and first"]
    assert [year(n) for n in (1066, 1900, 2010)] == [
        "ten sixty-six",
        "nineteen hundred",
        "twenty ten",
    ]
    assert [chinese(n) for n in (10, 20, 1_0000_0001, 1001_0010)] == [
        "十",
        "二十",
        "一亿零一",
        "一千零一万零一十",
    ]
