"""The rules for numbers and what is written with them: dates, times, amounts, ranges, versions."""

from __future__ import annotations

import re

from spark_mlx.text.normalization import chinese as zh
from spark_mlx.text.normalization import english as en
from spark_mlx.text.normalization.reader import ENGLISH, SENTENCE_END_TOO, Reader, Rule, rule

# Bounded throughout, and begun at the first digit only, so that no text takes long.
_INT = r"(?:\d{1,3}(?:,\d{3}){1,5}(?![\d])|\d{1,30}(?!\d))"
_NUM = rf"{_INT}(?:\.\d{{1,30}}(?!\d))?"
_START = r"(?<!\d)(?<!\d[.,])"
_SIGN = r"(?:(?<![A-Za-z0-9)\]%])[-−])?"
_DASH = r" ?[-–—~～至] ?"
_AMOUNT = rf"{_START}(?P<a>{_SIGN}{_NUM})(?:{_DASH}(?P<b>{_NUM}))?"
_MONTH = "|".join(f"{m}|{m[:3]}\\b\\.?" for m in en.MONTHS).replace("Sep\\b", "Sept?\\b")
_UNIT = "|".join(sorted([*map(re.escape, en.UNITS), "℃", "m2", "m3", "km2"], key=len, reverse=True))
# What Chinese counts with, so that 2 is 两. Not 月, 日, 号 and 楼: 二月 is February.
_COUNTED = (
    "个只条张本位人名件台辆间家头匹次遍趟年天周岁倍元块米公里斤升吨克厘度点小分秒种双份片杯瓶碗"
    "部首句座层万亿千页篇场群对"
)


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


def _ratio(m: re.Match[str], reader: Reader) -> str:
    return reader.ratio(m["a"], m["b"])


def _phone(m: re.Match[str], reader: Reader) -> str | None:
    return reader.phone(m[0]) if 7 <= sum(c.isdecimal() for c in m[0]) <= 15 else None


def _version(m: re.Match[str], reader: Reader) -> str | None:
    parts = m["v"].split(".")
    prefix = m["prefix"] or ""
    if prefix in ("v", "V"):
        prefix = reader.VERSION
    elif len(parts) < 3 and not prefix:
        return None
    if len(parts) == 4:
        return prefix + reader.ip(parts)
    return prefix + reader.version(parts)


def _money(m: re.Match[str], reader: Reader) -> str:
    first = ("-" if m["minus"] else "") + m["a"]
    return reader.money(first, m["b"], (m["scale"] or "").strip(), m["sign"].replace("￥", "¥"))


def _money_behind(m: re.Match[str], reader: Reader) -> str:
    return reader.money(m["a"], m["b"], "", m["sign"])


def _percent(m: re.Match[str], reader: Reader) -> str:
    if m["first"] and m["b"]:  # 5%–10%
        return reader.percent(m["a"], None) + reader.TO + reader.percent(m["b"], None)
    return reader.percent(m["a"], m["b"])


def _quantity(m: re.Match[str], reader: Reader) -> str | None:
    return reader.quantity(m["a"], m["b"], m["unit"], m["joint"] == "-")


def _fraction(m: re.Match[str], reader: Reader) -> str | None:
    top, bottom = int(m["a"]), int(m["b"])
    if not top or not 1 < bottom <= 100:
        return None
    return reader.fraction(None if m["whole"] is None else int(m["whole"]), top, bottom)


def _glyph_fraction(m: re.Match[str], reader: Reader) -> str:
    top, bottom = {"½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3)}[m["glyph"]]
    return reader.fraction(None if m["whole"] is None else int(m["whole"]), top, bottom)


def _ordinal(m: re.Match[str], reader: Reader) -> str:
    return reader.ordinal(int(m["n"]))


def _decade(m: re.Match[str], reader: Reader) -> str:
    return reader.decade(int(m["n"]))


def _year_range(m: re.Match[str], reader: Reader) -> str | None:
    first, last = int(m["a"]), int(m["b"])
    if not (first < last or (len(m["b"]) == 2 and first % 100 < last)):
        return None
    end = reader.year(last) if len(m["b"]) == 4 else reader.number(m["b"])
    return reader.year(first) + reader.TO + end


def _range(m: re.Match[str], reader: Reader) -> str | None:
    a, b = m["a"], m["b"]
    if len(a) > 1 and a[0] == "0":
        return None
    if m["equals"] is not None or (
        " " in m["dash"] and float(a.replace(",", "")) > float(b.replace(",", ""))
    ):
        return f"{reader.number(a)}{reader.GAP}{reader.SYMBOLS['-']}{reader.GAP}{reader.number(b)}"
    return reader.span(a, b)


def _year(m: re.Match[str], reader: Reader) -> str | None:
    n = int(m["n"])
    if reader is ENGLISH and n % 1000 == 0 and n != 2000:
        return None
    return reader.year(n)


def _bare_year(m: re.Match[str], reader: Reader) -> str | None:
    return _year(m, reader) if reader is ENGLISH else None


def _chinese_year(m: re.Match[str], reader: Reader) -> str | None:
    n = int(m["n"])
    return zh.digits(m["n"]) if n % 1000 or n == 2000 else None


def _number(m: re.Match[str], reader: Reader) -> str:
    counting = m["counted"] is not None and m["nth"] is None
    return (m["nth"] or "") + reader.number(m["a"], counting)


_YMD = r"(?P<y>[12]\d{3})%s(?P<m>\d{1,2})%s(?P<d>\d{1,2})(?![\d日])"
_HALF = (
    r" ?(?P<half>[AaPp](?:\.[Mm]|[Mm](?![A-Za-z0-9]))"
    rf"(?:\.(?!\.|{SENTENCE_END_TOO}))?)(?![A-Za-z0-9])"
)
_CLOCK = r"(?P<h>\d{1,2})[:：](?P<m>\d{2})(?:[:：](?P<s>\d{2}))?(?![\d:：])"
_AS_YEAR = (
    r"(?:(?<=\b[Tt]he )(?=19|20)|(?<=\b[Ii]n )|(?<=\b[Bb]y )|(?<=\bof )"
    r"|(?<=\b[Ss]ince )|(?<=\b[Uu]ntil )|(?<=\b[Ff]rom )"
    r"|(?<=\b[Yy]ear )|(?<=\b[Bb]efore )|(?<=\b[Aa]fter )|(?<=\b[Cc]irca )|(?<=\bc\. )|(?<=\()"
    r"|(?<=\bsummer )|(?<=\bspring )|(?<=\bautumn )|(?<=\bwinter ))"
)
_NO_COUNT = r"(?! (?:[a-z]+s|people|men|women|children|million|billion|hundred)\b)"

NUMBER_RULES: list[Rule] = [
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
    rule(_START + rf"(?P<a>{_NUM})[:：](?P<b>{_NUM})(?![\d:：])", _ratio),
    rule(r"(?<![\w+])\+\d{1,3}(?:[ -]?\(?\d{1,5}\)?){1,5}(?!\d)", _phone),
    rule(r"(?<!\w)\(\d{3}\) ?\d{3}-\d{4}(?!\d)", _phone),
    rule(_START + r"(?<!-)(?:\d{3}-)?\d{3}-\d{4}(?![\d-])", _phone),
    rule(_START + r"(?<!-)0\d{2,4}[ -]\d{3,8}(?:[ -]\d{3,4})?(?![\d-])", _phone),
    rule(_START + r"(?<!-)1[3-9]\d[ -]\d{4}[ -]\d{4}(?![\d-])", _phone),
    rule(
        r"(?<!\d)(?<!\d\.)(?P<prefix>(?<![A-Za-z0-9])[vV](?=\d)"
        r"|(?<![A-Za-z0-9])(?:[Vv]ersion|Python|iOS|macOS|Android|Ubuntu|Java) )?"
        r"(?P<v>\d{1,5}(?:\.\d{1,5}){1,3})(?![\d]|\.\d)",
        _version,
    ),
    rule(
        rf"(?P<minus>(?<!\w)[-−])?(?:\bUS|\bA|\bC)?(?P<sign>[$£€¥￥])(?P<a>{_NUM})"
        rf"(?:{_DASH}[$£€¥￥]?(?P<b>{_NUM}))?"
        r"(?P<scale> ?(?:thousand|million|billion|trillion)\b"
        r"|(?:bn|[kKmMbB])\b|[千万亿百]+)?(?:元)?",
        _money,
    ),
    rule(_AMOUNT + r" ?(?P<sign>[$£€¥])", _money_behind),
    rule(
        rf"{_START}(?P<a>{_SIGN}{_NUM})(?P<first> ?[%％])?(?:{_DASH}(?P<b>{_NUM}))?"
        r" ?(?(b)[%％]|(?(first)|[%％]))",
        _percent,
    ),
    rule(rf"{_AMOUNT}(?P<joint>[ -]?)(?P<unit>{_UNIT})(?![A-Za-z0-9²³/'’])", _quantity),
    rule(rf"(?:{_START}(?P<whole>\d{{1,4}}) ?)?(?P<glyph>[½¼¾⅓⅔])", _glyph_fraction),
    rule(
        rf"{_START}(?<!/)(?:(?P<whole>\d{{1,4}}) )?(?P<a>\d{{1,3}})/(?P<b>\d{{1,3}})(?![\d/]|\.\d)",
        _fraction,
    ),
    rule(r"(?<![\d.,])(?P<n>\d{1,12})(?:st|nd|rd|th)\b", _ordinal),
    rule(r"(?<![\d.,])['’]?(?P<n>[12]\d\d0|[2-9]0)['’]?s\b", _decade),
    rule(
        _START + r"(?P<a>1[1-9]\d\d|20\d\d)(?: ?[-–—] ?)"
        r"(?P<b>1[1-9]\d\d|20\d\d|(?<=[–-])\d\d)(?![\d%-])",
        _year_range,
    ),
    rule(
        rf"{_START}(?<!\d[-–])(?P<a>{_NUM})(?P<dash>{_DASH})(?P<b>{_NUM})"
        r"(?P<equals>(?= ?=))?(?![-–/]\d)",
        _range,
    ),
    rule(_START + r"(?P<n>[12]\d{3})(?=年)", _chinese_year),
    rule(
        _AS_YEAR + rf"(?P<n>(?:19|20)\d\d|1[0-8]\d\d(?!\d){_NO_COUNT})(?![\d,%]\d|\d|\.\d)", _year
    ),
    rule(
        _START + r"(?P<n>(?:19|20)\d\d)(?![\d,%]\d|\d|\.\d)" + _NO_COUNT + r"(?!.?[\u3400-\u9fff])",
        _bare_year,
    ),
    rule(
        rf"(?P<nth>第 ?)?(?<!\d)(?P<a>{_SIGN}{_NUM})(?P<counted>(?= ?[{_COUNTED}])(?!点\d))?",
        _number,
    ),
    rule(r"(?<!\d)(?P<nth>(?!))?(?P<a>\d+)(?P<counted>(?!))?", _number),
]
