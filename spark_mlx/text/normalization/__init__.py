"""Writes out what a reader would say: numbers, dates, amounts, abbreviations, addresses.

str → str, between `text.clean` and `text.split`. The rules are patterns in the order in which they
may claim a part of the text; what is claimed is hidden from the later ones, and all that no rule
claims stays as it is, character for character. How something is said is the matter of a reader,
`english` or `chinese`, chosen for each place by the text around it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from spark_mlx.text.normalization.numbers import NUMBER_RULES
from spark_mlx.text.normalization.reader import reader_for
from spark_mlx.text.normalization.words import WORD_RULES

_HIDDEN = "\ue000"  # of the private use area: no pattern knows it
_LATIN = re.compile(r"[^\W_\u2e80-\U0003ffff]")


class Replacement(NamedTuple):
    """Characters `start` to `end` of a text are spoken as `spoken`."""

    start: int
    end: int
    spoken: str


def normalise(text: str) -> str:
    """Writes a text out as it is spoken, in the language around each place."""
    parts = []
    done = 0
    for start, end, spoken in replacements(text):
        parts += [text[done:start], spoken]
        done = end
    return "".join([*parts, text[done:]])


def replacements(text: str) -> list[Replacement]:
    """What `normalise` changes in a text, in order."""
    choose = reader_for(text)
    hidden = text
    found: list[Replacement] = []
    for pattern, say in (*WORD_RULES, *NUMBER_RULES):
        parts: list[str] = []  # of the text without what this rule claims
        done = 0
        for match in pattern.finditer(hidden):
            start, end = match.span()
            spoken = say(match, choose(start, end))
            if spoken is None:
                continue
            found.append(Replacement(start, end, spoken))
            parts += [hidden[done:start], _HIDDEN * (end - start)]
            done = end
        if parts:
            hidden = "".join([*parts, hidden[done:]])
    return [_spaced(text, one) for one in sorted(found)]


def _spaced(text: str, one: Replacement) -> Replacement:
    """Keeps the words of a replacement apart from letters beside it: MP3 is "MP three"."""
    before, after = text[: one.start][-1:], text[one.end : one.end + 1]
    spoken = one.spoken
    if spoken and _LATIN.match(before) and _LATIN.match(spoken[0]):
        spoken = f" {spoken}"
    if spoken and _LATIN.match(after) and _LATIN.match(spoken[-1]):
        spoken = f"{spoken} "
    return one._replace(spoken=spoken)
