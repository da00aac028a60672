"""Numbers, dates, times and money in words, and sentences about them, as a normaliser writes them.

A number or a random generator → English words in lower case, without digits.
"""

from __future__ import annotations

import random

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
ORDINALS |= {"nine": "ninth", "twelve": "twelfth"}
MONTHS = "January February March April May June July August September October November December"
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of the months

FRAMES = (
    "The meeting is on {date}.",
    "She was born on {date}, {year}.",
    "It happened in {year}, or perhaps in {year2}.",
    "The train leaves at {time}.",
    "We shall meet on {day} at {time}.",
    "Is it {time} already?",
    "The ticket costs {money}.",
    "He paid {money} for {few} books.",
    "There were {number} people in the hall.",
    "The answer is {decimal}, not {decimal2}.",
    "Turn to page {page}, line {few}.",
    "The village has {number} houses.",
    "My number is {digits}.",
    "He came {ordinal} out of {page}.",
    "About {percent} percent of them agreed.",
    "The temperature rose to {percent} degrees.",
    "Only {number} of {number2} were ever found.",
    "Add {page} to {few}, and write down the sum.",
)


def cardinal(number: int) -> str:
    """0 … 999,999 → words, as in "two thousand and five"."""
    if number < 20:
        return UNITS[number]
    if number < 100:
        tens, units = divmod(number, 10)
        return TENS[tens] + (f"-{UNITS[units]}" if units else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{UNITS[hundreds]} hundred" + (f" and {cardinal(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    link = " and " if rest < 100 else " "
    return f"{cardinal(thousands)} thousand" + (link + cardinal(rest) if rest else "")


def ordinal(number: int) -> str:
    """1 … 999 → words, as in "twenty-first"."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    end = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return words[:cut] + ORDINALS.get(last, end)


def year(number: int) -> str:
    """1100 … 2099 → words, as in "nineteen oh five"."""
    century, rest = divmod(number, 100)
    if century == 20 and rest < 10:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} " + (f"oh {UNITS[rest]}" if rest < 10 else cardinal(rest))


def time(hour: int, minute: int) -> str:
    """An hour of 1 … 12 and a minute → words, as in "half past nine"."""
    after = UNITS[hour % 12 + 1]
    if minute == 0:
        return f"{UNITS[hour]} o'clock"
    if minute in (15, 30):
        return f"{'half' if minute == 30 else 'a quarter'} past {UNITS[hour]}"
    if minute == 45:
        return f"a quarter to {after}"
    return f"{UNITS[hour]} " + (f"oh {UNITS[minute]}" if minute < 10 else cardinal(minute))


def sentence(rng: random.Random) -> str:
    """A sentence with numbers in words."""
    return rng.choice(FRAMES).format(
        date=_date(rng),
        year=year(rng.randint(1100, 2099)),
        year2=year(rng.randint(1100, 2099)),
        time=time(rng.randint(1, 12), rng.randrange(60)),
        day=rng.choice(DAYS.split()),
        money=_money(rng),
        few=cardinal(rng.randint(2, 20)),
        number=cardinal(_spread(rng)),
        number2=cardinal(_spread(rng)),
        decimal=_decimal(rng),
        decimal2=_decimal(rng),
        page=cardinal(rng.randint(21, 999)),
        digits=" ".join(rng.choices(UNITS[:10], k=rng.randint(4, 8))),
        ordinal=ordinal(rng.randint(1, 120)),
        percent=cardinal(rng.randint(1, 100)),
    )


def _date(rng: random.Random) -> str:
    month = rng.randrange(12)
    day = ordinal(rng.randint(1, LENGTHS[month]))
    name = MONTHS.split()[month]
    return rng.choice((f"the {day} of {name}", f"{name} the {day}"))


def _money(rng: random.Random) -> str:
    whole, cents = rng.randint(1, 200), rng.choice((0, rng.randint(1, 99)))
    unit, part = rng.choice((("dollar", "cent"), ("euro", "cent")))
    words = f"{cardinal(whole)} {unit}{'s' * (whole > 1)}"
    return words + (f" and {cardinal(cents)} {part}{'s' * (cents > 1)}" if cents else "")


def _decimal(rng: random.Random) -> str:
    digits = " ".join(rng.choices(UNITS[:10], k=rng.randint(1, 3)))
    return f"{cardinal(rng.randint(0, 99))} point {digits}"


def _spread(rng: random.Random) -> int:
    """2 … 999,999, with as many of each length in digits."""
    return int(10 ** rng.uniform(0.4, 6.0)) % 999_999 + 1
