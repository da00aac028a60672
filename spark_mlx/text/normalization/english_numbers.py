"""Number words in English: int or digits → words. Read as in Britain: one hundred and five."""

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
