"""The rules for dates and times of day."""

from __future__ import annotations

import re

from spark_mlx.text.normalization import english as en
from spark_mlx.text.normalization.reader import ENGLISH, SENTENCE_END_TOO, Reader, Rule, rule

_START = r"(?<!\d)(?<!\d[.,])"
_MONTH = "|".join(f"{m}|{m[:3]}\\b\\.?" for m in en.MONTHS).replace("Sep\\b", "Sept?\\b")
_YMD = r"(?P<y>[12]\d{3})%s(?P<m>\d{1,2})%s(?P<d>\d{1,2})(?![\d日])"
_HALF = (
    r" ?(?P<half>[AaPp](?:\.[Mm]|[Mm](?![A-Za-z0-9]))"
    rf"(?:\.(?!\.|{SENTENCE_END_TOO}))?)(?![A-Za-z0-9])"
)
_CLOCK = r"(?P<h>\d{1,2})[:：](?P<m>\d{2})(?:[:：](?P<s>\d{2}))?(?![\d:：])"


def _month(name: str) -> int:
    return [m[:3] for m in en.MONTHS].index(name[:3]) + 1


def _date(year: str | None, month: int, day: int, reader: Reader, first: bool) -> str | None:
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    return reader.date(None if year is None else int(year), month, day, first)


def _iso_date(m: re.Match[str], reader: Reader) -> str | None:
    return _date(m["y"], int(m["m"]), int(m["d"]), reader, False)


def _day_month(m: re.Match[str], reader: Reader) -> str | None:
    said = _date(m["y"], _month(m["m"]), int(m["d"]), reader, False)
    return said[4:] if said and m["the"] is not None and reader is ENGLISH else said


def _month_day(m: re.Match[str], reader: Reader) -> str | None:
    return _date(m["y"], _month(m["m"]), int(m["d"]), reader, True)


def _slashed_date(m: re.Match[str], reader: Reader) -> str | None:
    """Which of 03/05 is the month is known only if one of them is more than 12, or both equal."""
    a, b = int(m["a"]), int(m["b"])
    if a > 12 or a == b:
        return _date(m["y"], b, a, reader, False)
    if b > 12:
        return _date(m["y"], a, b, reader, False)
    return reader.unclear_date(a, b, int(m["y"])) if a and b else None


def _time(m: re.Match[str], reader: Reader) -> str | None:
    hour, minute = int(m["h"]), None if m["m"] is None else int(m["m"])
    second = None if m["s"] is None else int(m["s"])
    half = (m["half"] or "")[:1].lower()
    if hour > 24 or (minute or 0) > 59 or (second or 0) > 59 or (half and not 0 < hour < 13):
        return None
    return reader.clock(hour, minute, second, half)


DATE_RULES: list[Rule] = [
    rule(_START + _YMD % ("-", "-"), _iso_date),
    rule(_START + _YMD % ("/", "/"), _iso_date),
    rule(_START + r"(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<y>[12]\d{3})(?![\d/])", _slashed_date),
    rule(
        rf"(?P<the>(?<=\bthe )|(?<=\bThe ))?{_START}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? "
        rf"(?P<m>{_MONTH})(?![A-Za-z])(?:,? (?P<y>[12]\d{{3}})(?!\d))?",
        _day_month,
    ),
    rule(
        rf"\b(?P<m>{_MONTH}) (?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?![\d:%]|[.,]\d)"
        rf"(?:,? (?P<y>[12]\d{{3}})(?!\d))?",
        _month_day,
    ),
    rule(rf"{_START}{_CLOCK}(?:{_HALF})?", _time),
    rule(rf"{_START}(?P<h>\d{{1,2}})(?P<m>(?!))?(?P<s>(?!))?{_HALF}", _time),
]
