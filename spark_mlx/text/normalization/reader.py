"""Who reads a place of a text: the English or the Chinese reader.

Chinese characters beside a place make it Chinese. Where one side is Chinese and the other is not,
the one that touches the place decides, else the majority of the sentence.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from typing import Protocol

from spark_mlx.text.normalization import chinese, english
from spark_mlx.text.sentences import OPENING_WORD


class Reader(Protocol):
    """What a language knows: parts as they are written → words. A `last` makes a range."""

    SYMBOLS: dict[str, str]
    HASHTAG: str
    NUMBER: str
    VERSION: str
    GAP: str
    TO: str

    def ordinal(self, n: int) -> str: ...
    def number(self, written: str, counting: bool = False) -> str: ...
    def year(self, n: int) -> str: ...
    def decade(self, n: int) -> str: ...
    def date(self, year_: int | None, month: int, day: int, month_first: bool = False) -> str: ...
    def unclear_date(self, first: int, second: int, year_: int) -> str: ...
    def clock(self, hour: int, minute: int | None, second: int | None, half: str) -> str: ...
    def span(self, first: str, last: str | None) -> str: ...
    def money(self, first: str, last: str | None, scale: str, sign: str) -> str: ...
    def percent(self, first: str, last: str | None) -> str: ...
    def quantity(self, first: str, last: str | None, unit: str, joined: bool = False) -> str: ...
    def fraction(self, whole: int | None, top: int, bottom: int) -> str: ...
    def ratio(self, first: str, second: str) -> str: ...
    def phone(self, written: str) -> str: ...
    def version(self, parts: list[str]) -> str: ...
    def ip(self, parts: list[str]) -> str: ...
    def address(self, written: str) -> str: ...


Say = Callable[[re.Match[str], Reader], "str | None"]  # None: leave it to the next rule
Rule = tuple[re.Pattern[str], Say]

# After a full stop that belongs to an abbreviation, and ends the sentence as well.
SENTENCE_END_TOO = rf"\s*$|\n|[\"'”’)]|{OPENING_WORD.pattern}"

ENGLISH: Reader = english
CHINESE: Reader = chinese


def rule(pattern: str, say: Say) -> Rule:
    return re.compile(pattern), say


_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_TOUCHED = re.compile(rf"[A-Za-z]{{0,3}}{_CJK.pattern}")  # 5G网络 too
_WORD = re.compile(r"[^\W\d_\u2e80-\U0003ffff]+")
_SENTENCE_END = re.compile(r"[。！？\n]|[.!?](?=\s)")
_NEAR = 40  # characters in which a neighbour is looked for


def reader_for(text: str) -> Callable[[int, int], Reader]:
    """Who reads the characters from one index to another."""
    if not _CJK.search(text):
        only = CHINESE if re.search("[，。、；：！？]", text) else ENGLISH
        return lambda start, end: only
    ends = [m.end() for m in _SENTENCE_END.finditer(text)] + [len(text)]
    majority: dict[int, Reader] = {}

    def sentence(start: int) -> tuple[int, int]:
        i = min(bisect.bisect_right(ends, start), len(ends) - 1)
        return (ends[i - 1] if i else 0), ends[i]

    def choose(start: int, end: int) -> Reader:
        first, last = sentence(start)
        before = text[max(first, start - _NEAR) : start][::-1]
        after = text[end : max(end, min(last, end + _NEAR))]
        if _CJK.match(before) or _TOUCHED.match(after):
            return CHINESE
        sides = {reader for side in (before, after) if (reader := _first(side)) is not None}
        if len(sides) == 1:
            return sides.pop()
        if first not in majority:
            near = text[first:last] if sides else text
            chinese = len(_CJK.findall(near))
            majority[first] = CHINESE if chinese >= len(_WORD.findall(near)) else ENGLISH
        return majority[first]

    return choose


def _first(side: str) -> Reader | None:
    """The language of the letter that is nearest."""
    for c in side:
        if _CJK.match(c):
            return CHINESE
        if c.isalpha():
            return ENGLISH
    return None
