"""How a Chinese reader says numbers, dates, amounts and addresses.

The functions are those of `normalise.Reader`; they take what was written, in parts, and give words.
A telephone's one is 一, and two of something are 两.
"""

from __future__ import annotations

import re

_DIGITS = "零一二三四五六七八九"
_GROUPS = ("", "万", "亿", "万亿")
_MONEY = {"$": "美元", "£": "英镑", "€": "欧元", "¥": "元"}
_SCALES = {
    "k": "千",
    "m": "百万",
    "b": "十亿",
    "bn": "十亿",
    "thousand": "千",
    "million": "百万",
    "billion": "十亿",
    "trillion": "万亿",
}
_UNITS = {
    "km": "公里",
    "m": "米",
    "cm": "厘米",
    "mm": "毫米",
    "mi": "英里",
    "ft": "英尺",
    "kg": "公斤",
    "g": "克",
    "mg": "毫克",
    "lb": "磅",
    "lbs": "磅",
    "oz": "盎司",
    "l": "升",
    "ml": "毫升",
    "m²": "平方米",
    "km²": "平方公里",
    "m³": "立方米",
    "min": "分钟",
    "h": "小时",
    "hr": "小时",
    "hrs": "小时",
    "ms": "毫秒",
    "KB": "千字节",
    "kB": "千字节",
    "MB": "兆",
    "GB": "吉字节",
    "TB": "太字节",
    "W": "瓦",
    "kW": "千瓦",
    "kWh": "千瓦时",
    "V": "伏",
    "dB": "分贝",
    "px": "像素",
    "Hz": "赫兹",
    "kHz": "千赫",
    "MHz": "兆赫",
    "GHz": "吉赫",
    "°": "度",
    "°C": "摄氏度",
    "°F": "华氏度",
}
_PER = {"km/h": ("每小时", "公里"), "mph": ("每小时", "英里"), "m/s": ("每秒", "米")}
SYMBOLS = {
    "&": "和",
    "+": "加",
    "=": "等于",
    "@": "at",
    "×": "乘",
    "÷": "除以",
    "±": "正负",
    "≈": "约等于",
    "~": "约",
    "-": "减",
}
_IN_ADDRESSES = {
    ".": "点",
    "/": "斜杠",
    "@": " at ",
    "-": "横杠",
    "_": "下划线",
    "?": "问号",
    "=": "等于",
    "&": "和",
    "#": "井号",
    ":": "冒号",
    "+": "加",
    "%": "百分号",
    "~": "波浪号",
}
GAP = ""
TO = "到"
HASHTAG = "话题"
NUMBER = "第"
VERSION = "版本"


def cardinal(n: int) -> str:
    """0 ≤ n < 10**16 → words."""
    if n == 0:
        return "零"
    words = ""
    gap = False  # whether a zero stands between what was said and what comes
    for i in reversed(range(len(_GROUPS))):
        group = n // 10000**i % 10000
        if not group:
            gap = bool(words)
            continue
        gap = bool(words) and (gap or group < 1000)
        said = "两" if group == 2 and i and not words else _group(group, not words)
        words += ("零" if gap else "") + said + _GROUPS[i]
        gap = False
    return words


def _group(n: int, leads: bool) -> str:
    """0 < n < 10000 → words; `leads` at the head of a number, where 10 is 十 and 2000 两千."""
    words = ""
    gap = False
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = n // size % 10
        if not digit:
            gap = bool(words)
            continue
        if size == 10 and digit == 1 and not words and leads:
            words = name
        else:
            two = "两" if size == 1000 and leads and digit == 2 else _DIGITS[digit]
            words += ("零" if gap else "") + two + name
        gap = False
    return words


def ordinal(n: int) -> str:
    return f"第{cardinal(n)}"


def digits(written: str) -> str:
    return "".join(_DIGITS[int(c)] for c in written if c.isdecimal())


def number(written: str, counting: bool = False) -> str:
    """counting: of something, where 2 is 两."""
    if written[0] in "-−":
        return f"负{number(written[1:])}"
    if counting and written == "2":
        return "两"
    whole, _, fraction = written.partition(".")
    plain = whole.replace(",", "")
    code = "," not in whole and (len(plain) > 9 or bool(plain[:-1] and int(plain[0]) == 0))
    words = digits(plain) if code or len(plain) > 16 else cardinal(int(plain or "0"))
    return f"{words}点{digits(fraction)}" if fraction else words


def year(n: int) -> str:
    return digits(str(n))


def decade(n: int) -> str:
    return f"{digits(str(n)) if n >= 100 else cardinal(n)}年代"


def date(year_: int | None, month: int, day: int, month_first: bool = False) -> str:
    words = f"{cardinal(month)}月{cardinal(day)}日"
    return words if year_ is None else f"{year(year_)}年{words}"


def unclear_date(first: int, second: int, year_: int) -> str:
    """Which is the month cannot be known, so the figures are read as they stand."""
    return f"{cardinal(first)}、{cardinal(second)}、{year(year_)}年"


def clock(hour: int, minute: int | None, second: int | None, half: str) -> str:
    words = {"a": "上午", "p": "下午"}.get(half, "") + f"{number(str(hour), True)}点"
    if minute or second is not None:
        minute = minute or 0
        words += f"{'零' if 0 < minute < 10 else ''}{cardinal(minute)}分"
    return words + (f"{cardinal(second)}秒" if second is not None else "")


def span(first: str, last: str | None, counting: bool = False) -> str:
    start = number(first, counting)
    return start if last is None else f"{start}到{number(last, counting)}"


def money(first: str, last: str | None, scale: str, sign: str) -> str:
    if re.fullmatch(r".*\.\d*0", first):
        first = first.rstrip("0").rstrip(".")
    return f"{span(first, last, True)}{_SCALES.get(scale.lower(), scale)}{_MONEY[sign]}"


def percent(first: str, last: str | None) -> str:
    if first[0] in "-−":
        return f"负{percent(first[1:], last)}"
    return f"百分之{span(first, last)}"


def quantity(first: str, last: str | None, unit: str, joined: bool = False) -> str:
    unit = unit.replace("℃", "°C").replace("2", "²").replace("3", "³").replace("L", "l")
    if unit in _PER:
        per, name = _PER[unit]
        return f"{per}{span(first, last, True)}{name}"
    if first[0] in "-−" and unit.startswith("°"):
        return f"零下{quantity(first[1:], last, unit)}"
    return f"{span(first, last, True)}{_UNITS[unit]}"


def fraction(whole: int | None, top: int, bottom: int) -> str:
    part = f"{cardinal(bottom)}分之{cardinal(top)}"
    return part if whole is None else f"{cardinal(whole)}又{part}"


def ratio(first: str, second: str) -> str:
    return f"{number(first)}比{number(second)}"


def phone(written: str) -> str:
    groups = "，".join(digits(group) for group in re.findall(r"\d+", written))
    return f"加{groups}" if written[0] == "+" else groups


def version(parts: list[str]) -> str:
    return "点".join(number(part) for part in parts)


def ip(parts: list[str]) -> str:
    return "点".join(digits(part) for part in parts)


def address(written: str) -> str:
    """An address without its scheme."""
    parts = re.findall(r"\d+|[^\W\d_]+|.", written)
    return "".join(
        number(part) if part.isdecimal() else _IN_ADDRESSES.get(part, part) for part in parts
    )
