"""Check a text and tidy its white space: str → `AlignedText` (`tidy`) or str (`clean`).

Knows nothing of sentences.
"""

from __future__ import annotations

import itertools
import re

from spark_mlx.errors import TextError
from spark_mlx.text.alignment import AlignedText

LONGEST_TEXT = 50_000  # characters, about an hour of speech

# Control characters, and surrogates that stand alone: halves of characters, from bytes that were
# not UTF-8.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# Dropped silently: byte order mark, zero-width characters, soft hyphen, marks of writing direction.
INVISIBLE = re.compile(r"[\ufeff\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069]")

_VISIBLE = re.compile(r"\S+")
# A line at least this long that ends in none of these marks was wrapped, as in mails and plain
# text books; a shorter one is a heading, a list item or a verse.
_WRAPPED_LINE = 50
_LINE_ENDS = ".!?…。！？｡:：;；"


def is_speakable(text: str) -> bool:
    """Whether a text holds anything to say: a letter or a digit of any script."""
    return any(map(str.isalnum, text))


def clean(text: str) -> str:
    """Check a text and tidy its white space, as `tidy` does.

    Raises:
        TextError: as `tidy`.
    """
    return tidy(text).text


def tidy(text: str) -> AlignedText:
    """Check a text and tidy its white space.

    Runs of white space become one space, line and paragraph breaks one line feed; a break inside
    hard-wrapped prose becomes a space. Control characters, halves of characters and invisible
    ones are dropped; `dropped` tells of the first two.

    Raises:
        TextError: the text is empty, too long, or has nothing to say (no letter or digit).
    """
    if len(text) > LONGEST_TEXT:
        raise TextError(
            f"the text has {len(text):,} characters, more than the {LONGEST_TEXT:,} that are "
            "spoken at once; speak it in parts"
        )
    visible = [i for i, c in enumerate(text) if not (INVISIBLE.match(c) or _CONTROL.match(c))]
    shown = "".join(map(text.__getitem__, visible))
    check_speakable(shown)
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for gap, first, last in _words(shown):
        if characters:
            characters.append(gap)
            starts.append(ends[-1])
            ends.append(visible[first])
        characters += shown[first:last]
        starts += visible[first:last]
        ends += [i + 1 for i in visible[first:last]]
    return AlignedText("".join(characters), starts, ends)


def dropped(text: str) -> str:
    """Describe the damaged characters that `tidy` drops, as a warning; "" without any."""
    found = _CONTROL.findall(text)
    if not found:
        return ""
    codes = ", ".join(f"U+{ord(c):04X}" for c in sorted(set(found))[:3])
    several = "s were" if len(found) > 1 else " was"
    return f"{len(found)} control character{several} left out ({codes})"


def check_speakable(text: str) -> None:
    """Refuse a text without a letter or digit.

    Raises:
        TextError: there is nothing to say.
    """
    if not is_speakable(text):
        shown = text.strip()[:20]
        raise TextError(
            f"there is nothing to say in {shown!r}; give some words"
            if shown
            else "the text is empty; give some words to speak"
        )


def _words(text: str) -> list[tuple[str, int, int]]:
    """Find the words of a text: the gap before each, its first character, the one after its last.

    The gap is a line feed between lines and a space elsewhere, also between hard-wrapped lines.
    """
    words: list[tuple[str, int, int]] = []
    at = 0
    last = ""
    for line in text.splitlines(keepends=True):
        found = [(at + m.start(), at + m.end()) for m in _VISIBLE.finditer(line)]
        wrapped = len(last) >= _WRAPPED_LINE and last[-1] not in _LINE_ENDS
        gaps = itertools.chain([" " if wrapped else "\n"], itertools.repeat(" "))
        words += [(gap, *word) for gap, word in zip(gaps, found, strict=False)]
        last = " ".join(line.split())
        at += len(line)
    return words
