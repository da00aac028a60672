"""Sentences with their times → subtitles, as SubRip (.srt) or WebVTT (.vtt).

One cue for each `Sentence`, in the caller's own words. Long ones are broken into lines of at most
42 columns, the width that subtitles commonly have; a Chinese character takes two.
WebVTT is as https://www.w3.org/TR/webvtt1/ wants it; SubRip has no standard.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from spark_mlx.errors import SubtitleError
from spark_mlx.paths import write_whole
from spark_mlx.speech import Sentence
from spark_mlx.text import INVISIBLE

COLUMNS = 42

# A wide character begins a word of its own, so that a line may end before it; but no line begins
# with what closes, and none ends with what opens.
_OPENS = "([{“‘「『（《〈【"
_CLOSES = ")]}”’」』）》〉】,.!?;:…，。、！？；：｡"
_NO_WIDTH = ("Mn", "Me", "Cf")  # marks upon other letters, and what only gives directions
_TOKEN = re.compile(r"\S+")


def srt(sentences: Iterable[Sentence], rate: float = 1.0) -> str:
    """The text of an .srt file.

    Args:
        rate: how many times as fast as the times of the sentences the speech is heard.
    """
    cues = []
    for number, (start, end, lines) in enumerate(_cues(sentences, rate), start=1):
        times = f"{_time(start, ',')} --> {_time(end, ',')}"
        # SubRip has no escapes, and an arrow in a text could pass for a line of times.
        text = "\n".join(lines).replace("-->", "→")
        cues.append(f"{number}\n{times}\n{text}")
    return "\n\n".join(cues) + "\n" * bool(cues)


def vtt(sentences: Iterable[Sentence], rate: float = 1.0) -> str:
    """The text of a .vtt file.

    Args:
        rate: how many times as fast as the times of the sentences the speech is heard.
    """
    cues = ["WEBVTT"]
    for start, end, lines in _cues(sentences, rate):
        text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_time(start, '.')} --> {_time(end, '.')}\n{text}")
    return "\n\n".join(cues) + "\n"


def write(path: str | os.PathLike[str], sentences: Iterable[Sentence], rate: float = 1.0) -> None:
    """Writes an .srt or .vtt file, by the ending of `path`.

    Raises:
        SubtitleError: the ending is unknown, or the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise SubtitleError(
            f"no subtitle format is known for the ending of {path}; use {' or '.join(FORMATS)}"
        )
    save(path, FORMATS[ending](sentences, rate))


def save(path: str | os.PathLike[str], subtitles: str) -> None:
    """Writes the text of subtitles to a file, whole or not at all.

    Raises:
        SubtitleError: the file cannot be written.
    """
    try:
        write_whole(path, subtitles.encode())
    except OSError as error:
        raise SubtitleError(f"cannot write {path}: {error.strerror or error}") from error


FORMATS = {".srt": srt, ".vtt": vtt}


def wrap(text: str, columns: int = COLUMNS) -> list[str]:
    """Breaks a text into lines of at most `columns` columns, as even as may be.

    A word that is longer stands in a line of its own. What cannot be seen is dropped.
    """
    words = list(_words(INVISIBLE.sub("", text)))
    widest = _filled(words, columns)
    if not widest:
        return []
    # The narrowest lines of which no more are needed than of the widest.
    narrowest = math.ceil(sum(map(width, widest)) / len(widest))
    for narrow in range(narrowest, columns):
        lines = _filled(words, narrow)
        if len(lines) == len(widest):
            return lines
    return widest


def width(text: str) -> int:
    """How many columns a text takes: two for what is wide, none for marks upon other letters."""
    return sum(
        0
        if unicodedata.category(c) in _NO_WIDTH
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def _cues(sentences: Iterable[Sentence], rate: float) -> Iterable[tuple[int, int, list[str]]]:
    """Start and end in milliseconds, and the lines, of what takes any time and has any words."""
    for sentence in sentences:
        start, end = (round(1000 * seconds / rate) for seconds in (sentence.start, sentence.end))
        lines = wrap(sentence.text)
        if start < end and lines:
            yield start, end, lines


def _time(milliseconds: int, point: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def _words(text: str) -> Iterable[tuple[str, str]]:
    """What must stay together in a line, each with the space that parts it from the one before."""
    for token in _TOKEN.finditer(text):
        space = " "
        word = ""
        for c in token.group():
            wide = width(c) == 2 or (word and width(word[-1]) == 2)
            if word and wide and c not in _CLOSES and word[-1] not in _OPENS:
                yield space, word
                space, word = "", ""
            word += c
        yield space, word


def _filled(words: list[tuple[str, str]], columns: int) -> list[str]:
    """Lines, each with as many words as fit."""
    lines: list[str] = []
    for space, word in words:
        if lines and width(lines[-1] + space + word) <= columns:
            lines[-1] += space + word
        else:
            lines.append(word)
    return lines
