"""Subtitles: valid files with exact times, in lines that fit."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from spark_mlx import subtitles
from spark_mlx.errors import SubtitleError
from spark_mlx.speech import Sentence


def said(*texts: str) -> list[Sentence]:
    """Sentences of 1.5 s each, with pauses of 0.5 s."""
    return [Sentence(text, (0, len(text)), 2.0 * i, 2.0 * i + 1.5) for i, text in enumerate(texts)]


def test_srt() -> None:
    assert subtitles.srt(said("Hello <you> & me.", "A --> B,\n\n C.")) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello <you> & me.\n\n"
        "2\n00:00:02,000 --> 00:00:03,500\nA → B, C.\n"
    )


def test_vtt() -> None:
    assert subtitles.vtt(said("Hello <you> & me.", "A --> B.")) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello &lt;you&gt; &amp; me.\n\n"
        "00:00:02.000 --> 00:00:03.500\nA --&gt; B.\n"
    )


def test_nothing_said() -> None:
    assert subtitles.srt([]) == ""
    assert subtitles.vtt([]) == "WEBVTT\n"
    assert subtitles.srt([Sentence("x", (0, 1), 1.0, 1.0), Sentence(" ", (0, 1), 1.0, 2.0)]) == ""


def test_times() -> None:
    hours = [Sentence("Late.", (0, 5), 2 * 3600 + 3 * 60 + 4.0005, 100 * 3600.0)]
    assert "02:03:04,000 --> 100:00:00,000" in subtitles.srt(hours)
    twice = subtitles.srt(said("One.", "Two."), rate=2.0)
    assert "00:00:01,000 --> 00:00:01,750" in twice


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Short.", ["Short."]),
        ("x" * 42, ["x" * 42]),
        ("word " * 9, ["word word word word word", "word word word word"]),
        ("here is " + "x" * 50 + " here", ["here is", "x" * 50, "here"]),
        ("字" * 21, ["字" * 21]),
        ("字" * 22, ["字" * 11] * 2),
        ("字" * 20 + "，，。" + "字" * 2, ["字" * 13, "字" * 7 + "，，。" + "字" * 2]),
        ("so\u00adft\u200b e\u0301\r\nend", ["soft e\u0301 end"]),
    ],
)
def test_lines(text: str, lines: list[str]) -> None:
    assert subtitles.wrap(text) == lines


def test_lines_keep_every_word_and_fit() -> None:
    chance = random.Random(0)
    parts = ["word ", "a ", "end. ", "天", "气好", "天，", "天。", "“天", "天。”", "3.5%", "\n"]
    for _ in range(500):
        text = "天" + "".join(chance.choices(parts, k=chance.randrange(1, 80)))
        lines = subtitles.wrap(text)
        assert "".join(lines).replace(" ", "") == "".join(text.split())
        for line in lines:
            assert line == line.strip()
            assert 0 < subtitles.width(line) <= 42
            assert line[0] not in "，。”."
            assert line[-1] != "“"


def test_files(tmp_path: Path) -> None:
    for ending in ("srt", "VTT"):
        path = tmp_path / f"x.{ending}"
        subtitles.write(path, said("你好。"))
        assert "你好。" in path.read_bytes().decode("utf-8")
    with pytest.raises(SubtitleError, match=r"x\.txt; use \.srt or \.vtt"):
        subtitles.write(tmp_path / "x.txt", said("Hi."))
    with pytest.raises(SubtitleError, match="No such file"):
        subtitles.write(tmp_path / "gone" / "x.srt", said("Hi."))
