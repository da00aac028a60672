"""How an English reader says numbers, dates, amounts and addresses.

The functions are those of `normalise.Reader`; they take what was written, in parts, and give words.
Numbers are read as in Britain, with "and": one hundred and five.
"""

from __future__ import annotations

import re

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ("", " thousand", " million", " billion", " trillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MONTHS = (
    "January February March April May June July August September October November December"
).split()
# By the sign: one, several, and the hundredth part.
_MONEY = {
    "$": ("dollar", "dollars", "cent"),
    "£": ("pound", "pounds", "pence"),
    "€": ("euro", "euros", "cent"),
    "¥": ("yen", "yen", ""),
}
_SCALE_LETTERS = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion"}
# A sign that differs from its unit by its ending only; the plural takes an s.
_UNITS = {
    "km": "kilometre",
    "m": "metre",
    "cm": "centimetre",
    "mm": "millimetre",
    "mi": "mile",
    "kg": "kilogram",
    "g": "gram",
    "mg": "milligram",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "l": "litre",
    "L": "litre",
    "ml": "millilitre",
    "mL": "millilitre",
    "m²": "square metre",
    "km²": "square kilometre",
    "m³": "cubic metre",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "ms": "millisecond",
    "KB": "kilobyte",
    "kB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "TB": "terabyte",
    "W": "watt",
    "kW": "kilowatt",
    "kWh": "kilowatt hour",
    "V": "volt",
    "dB": "decibel",
    "px": "pixel",
    "°": "degree",
}
_FIXED_UNITS = {  # the same for one and for several
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
}
_PLURALS = {  # plurals that end otherwise
    "ft": ("foot", "feet"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometre per hour", "kilometres per hour"),
    "m/s": ("metre per second", "metres per second"),
}
UNITS = (*_UNITS, *_FIXED_UNITS, *_PLURALS)
SYMBOLS = {
    "&": "and",
    "+": "plus",
    "=": "equals",
    "@": "at",
    "×": "times",
    "÷": "divided by",
    "±": "plus or minus",
    "≈": "approximately",
    "~": "about",
    "-": "minus",
}
_IN_ADDRESSES = {
    ".": "dot",
    "/": "slash",
    "@": "at",
    "-": "dash",
    "_": "underscore",
    "?": "question mark",
    "=": "equals",
    "&": "and",
    "#": "hash",
    ":": "colon",
    "+": "plus",
    "%": "percent",
    "~": "tilde",
}
GAP = " "
TO = " to "
HASHTAG = "hashtag "
NUMBER = "number "
VERSION = "version "


def cardinal(n: int) -> str:
    """0 ≤ n < 10**15 → words."""
    if n < 20:
        return _SMALL[n]
    if n < 100:
        return _TENS[n // 10 - 2] + (f"-{_SMALL[n % 10]}" if n % 10 else "")
    if n < 1000:
        rest = f" and {cardinal(n % 100)}" if n % 100 else ""
        return f"{_SMALL[n // 100]} hundred{rest}"
    groups = [n // 1000**i % 1000 for i in range(len(_SCALES))]
    words = [f"{cardinal(g)}{_SCALES[i]}" for i, g in enumerate(groups) if g][::-1]
    if 0 < groups[0] < 100:
        words[-1] = f"and {words[-1]}"
    return " ".join(words)


def ordinal(n: int) -> str:
    head, last = re.fullmatch(r"(.*?)(\w+)", cardinal(n)).groups()  # type: ignore[union-attr]
    if last.endswith("y"):
        return f"{head}{last[:-1]}ieth"
    return head + _ORDINALS.get(last, f"{last}th")


def digits(written: str) -> str:
    return " ".join(_SMALL[int(c)] for c in written if c.isdecimal())


def number(written: str, counting: bool = False) -> str:
    if written[0] in "-−":
        return f"minus {number(written[1:])}"
    whole, _, fraction = written.partition(".")
    plain = whole.replace(",", "")
    # A zero in front, or many digits in one run: a code, an account, a telephone.
    as_digits = len(plain) > 15 or (plain[:-1] and int(plain[0]) == 0) or len(whole) > 9 > 0
    if "," in whole:
        as_digits = len(plain) > 15
    words = digits(plain) if as_digits else cardinal(int(plain or "0"))
    return f"{words} point {digits(fraction)}" if fraction else words


def year(n: int) -> str:
    century, rest = divmod(n, 100)
    if 2000 <= n < 2010 or n % 1000 == 0:
        return cardinal(n)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def decade(n: int) -> str:
    words = year(n) if n >= 100 else cardinal(n)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def date(year_: int | None, month: int, day: int, month_first: bool = False) -> str:
    ending = "" if year_ is None else f"{',' if month_first else ''} {year(year_)}"
    if month_first:
        return f"{MONTHS[month - 1]} the {ordinal(day)}{ending}"
    return f"the {ordinal(day)} of {MONTHS[month - 1]}{ending}"


def unclear_date(first: int, second: int, year_: int) -> str:
    """Which is the month cannot be known, so the figures are read as they stand."""
    return f"{cardinal(first)} {cardinal(second)} {year(year_)}"


def clock(hour: int, minute: int | None, second: int | None, half: str) -> str:
    """half: "a", "p" or nothing."""
    words = cardinal(hour)
    if minute:
        words += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif minute == 0 and not half and second is None:
        if hour == 0:
            return "midnight"
        words += " o'clock" if hour < 13 else " hundred"
    if second is not None:
        oh = " zero" if minute == 0 else ""
        words += f"{oh} and {cardinal(second)} second{'' if second == 1 else 's'}"
    return words + (f" {half.upper()}M" if half else "")


def span(first: str, last: str | None) -> str:
    return number(first) if last is None else f"{number(first)} to {number(last)}"


def money(first: str, last: str | None, scale: str, sign: str) -> str:
    one, several, part = _MONEY[sign]
    if scale:
        words = _SCALE_LETTERS.get(scale.lower(), scale.lower())
        return f"{span(first, last)} {words} {several}"
    whole, _, cents = first.partition(".")
    name = one if whole.lstrip("-−") == "1" else several
    if last is None and len(cents) == 2 and part:
        n = int(cents)
        if n == 0:
            return f"{number(whole)} {name}"
        if whole == "0":
            return f"{cardinal(n)} {part}{'s' if n > 1 and part == 'cent' else ''}"
        return f"{number(whole)} {name} {'oh ' if n < 10 else ''}{cardinal(n)}"
    return f"{span(first, last)} {name if last is None and not cents else several}"


def percent(first: str, last: str | None) -> str:
    return f"{span(first, last)} percent"


def quantity(first: str, last: str | None, unit: str, joined: bool = False) -> str:
    """joined: as in "a 10-km run"."""
    unit = unit.replace("℃", "°C").replace("2", "²").replace("3", "³")
    if unit in _FIXED_UNITS:
        one = several = _FIXED_UNITS[unit]
    else:
        name = _UNITS.get(unit, "")
        one, several = _PLURALS.get(unit, (name, f"{name}s"))
    if joined:
        return f"{span(first, last)}-{one}"
    return f"{span(first, last)} {one if last is None and first == '1' else several}"


def fraction(whole: int | None, top: int, bottom: int) -> str:
    if bottom == 2:
        part = "half" if top == 1 else "halves"
    elif bottom == 4:
        part = "quarter" if top == 1 else "quarters"
    else:
        part = f"{ordinal(bottom)}{'' if top == 1 else 's'}"
    if whole is None:
        return f"{cardinal(top)} {part}"
    return f"{cardinal(whole)} and {'a' if top == 1 else cardinal(top)} {part}"


def ratio(first: str, second: str) -> str:
    return f"{number(first)} to {number(second)}"


def phone(written: str) -> str:
    groups = ", ".join(digits(group) for group in re.findall(r"\d+", written))
    return f"plus {groups}" if written[0] == "+" else groups


def version(parts: list[str]) -> str:
    return " point ".join(number(part) for part in parts)


def ip(parts: list[str]) -> str:
    return " dot ".join(digits(part) for part in parts)


def address(written: str) -> str:
    """An address without its scheme."""
    words = []
    for part in re.findall(r"\d+|[^\W\d_]+|.", written):
        words.append(number(part) if part.isdecimal() else _IN_ADDRESSES.get(part, part))
    # Read as a word, "uk" would be a cough.
    end = re.search(r"\.([a-z]{2})(?=$|[/?#:])", written)
    if end is not None and end[1] not in ("co", "me"):
        place = [i for i, word in enumerate(words) if word == end[1]][-1:]
        for i in place:
            words[i] = words[i].upper()
    return " ".join(words)
