"""Text on its way to the tokens: checked, tidied, and cut into pieces the model speaks well.

str → `Placed` (`tidy`) → pieces (`pieces`), each with its place in the text that was given; `clean`
and `split` do the same from str to str. Knows nothing of tokens or voices. Between the two steps,
`normalise` writes numbers and dates out in words.
"""

from __future__ import annotations

import enum
import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from spark_mlx.errors import TextError
from spark_mlx.text.alignment import Placed, Span

LONGEST_TEXT = 50_000  # characters, about an hour of speech

# A surrogate that stands alone is half a character; it comes from bytes that were not UTF-8.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# Byte order mark, zero-width characters, soft hyphen, and marks of writing direction.
INVISIBLE = re.compile(r"[\ufeff\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069]")
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"

_CLOSERS = r"""["'”’»)\]】」』）》〉]*"""
# Groups: the marks, then what closes with them, then the space to the next sentence.
_SENTENCE = re.compile(rf"([.!?…。！？｡]+)({_CLOSERS})(\s*)")
_CLAUSE = re.compile(rf"([，；：、—…]+{_CLOSERS}\s*|(?<![,;:–])[,;:–]+{_CLOSERS}\s+)")
_WORD = re.compile(r"\s+")
_VISIBLE = re.compile(r"\S+")

# A full stop after one of these ends no sentence. Single letters (initials, U.S., e.g.) and
# numbers with a point inside need no entry.
_ABBREVIATIONS = frozenset(
    word
    for words in (
        "mr mrs ms dr prof st jr sr rev hon gen col maj capt lt sgt gov sen rep mt",
        "vs etc al cf ca approx fig figs vol pp inc ltd co corp dept est",
        "jan feb mar apr jun jul aug sep sept oct nov dec",
    )
    for word in words.split()
)
_LAST_WORD = re.compile(r"[^\W\d_]+$")
# A line at least this long that ends in none of these marks was wrapped, as in mails and plain
# text books; a shorter one is a heading, a list item or a verse.
_WRAPPED_LINE = 50
_LINE_ENDS = ".!?…。！？｡:：;；"
_LINE_GOES_ON = ",，、—–-"  # a verse whose sentence is not over

LONGEST_PIECE = 200  # characters; the model is at home with some ten seconds
# A sentence that is spoken faster than this, in seconds, is spoken together with the next one:
# "No. Never." Alone, the model has too little to go by, and a subtitle would only flash.
SHORTEST_SENTENCE = 0.8


class Boundary(enum.IntEnum):
    """What lies between a piece of text and the next, the stronger the greater."""

    CLAUSE = 0
    SENTENCE = 1
    PARAGRAPH = 2


@dataclass(frozen=True)
class Piece:
    """What is spoken in one go: a sentence, a few very short ones, or a part of a long one.

    Attributes:
        sentence: which sentence of the text, from 0; the parts of a long one share it.
        text: the words as they were given, with their line breaks.
        span: their first character in the text that was given, and the one after their last.
        spoken: what the model speaks, with numbers and the like in words.
        boundary: what comes after it.
    """

    sentence: int
    text: str
    span: Span
    spoken: str
    boundary: Boundary


def clean(text: str) -> str:
    """Checks a text and tidies its white space, as `tidy` does.

    Raises:
        TextError: as `tidy`.
    """
    return tidy(text).text


def tidy(text: str) -> Placed:
    """Checks a text and tidies its white space.

    Runs of white space become one space, line and paragraph breaks one line feed; a break inside
    hard-wrapped prose becomes a space. Characters that cannot be seen are dropped.

    Raises:
        TextError: the text is empty, too long, has nothing to say (no letter or digit), or holds
            a control character or a lone surrogate.
    """
    if len(text) > LONGEST_TEXT:
        raise TextError(
            f"the text has {len(text):,} characters, more than the {LONGEST_TEXT:,} that are "
            "spoken at once; speak it in parts"
        )
    if found := _FORBIDDEN.search(text):
        code = ord(found.group())
        kind = "half a character" if code >= 0xD800 else "a control character"
        raise TextError(
            f"character {found.start() + 1} of the text is {kind} (U+{code:04X}); remove it"
        )
    visible = [i for i, c in enumerate(text) if not INVISIBLE.match(c)]
    shown = "".join(map(text.__getitem__, visible))
    if not shown.strip():
        raise TextError("the text is empty; give some words to speak")
    if not _audible(shown):
        raise TextError(f"there is nothing to say in {shown.strip()[:20]!r}; give some words")
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
    return Placed("".join(characters), starts, ends)


def split(text: str, limit: int = LONGEST_PIECE) -> list[str]:
    """Cuts a cleaned text into what is spoken of its `pieces`, in order."""
    return [piece.spoken for piece in pieces(text, Placed.whole(text), limit)]


def pieces(source: str, placed: Placed, limit: int = LONGEST_PIECE) -> list[Piece]:
    """Cuts a tidy text into pieces of at most `limit` characters, in order.

    A sentence is one piece; very short ones of a line share one. A sentence that is too long is
    cut at the ends of clauses, then between words, then anywhere, into pieces of about even
    length. Nothing that has a sound is lost; symbols on their own join a neighbour, or are dropped
    when it is full.

    Args:
        source: the text that the places of `placed` are in.
    """
    text = placed.text
    found: list[tuple[int, int, int, Boundary]] = []  # first and last character, sentence
    waiting: int | None = None  # where symbols began that come before anything with a sound
    at = sentence = 0

    def spoken(start: int, end: int) -> str:
        return " ".join(text[start:end].split())

    def strengthen(boundary: Boundary) -> None:
        if found:
            found[-1] = (*found[-1][:3], max(boundary, found[-1][3]))

    for line in text.splitlines(keepends=True):
        for i, whole in enumerate(_sentences(line, limit)):
            if i:
                strengthen(Boundary.SENTENCE)
            for part in _fit(whole, limit, _LEVELS):
                start = at + len(part) - len(part.lstrip())
                end = start + len(part.strip())
                at += len(part)
                if _audible(part):
                    if waiting is not None and len(spoken(waiting, end)) <= limit:
                        start = waiting
                    waiting = None
                    found.append((start, end, sentence, Boundary.CLAUSE))
                elif not found:
                    waiting = start if waiting is None else waiting
                elif len(spoken(found[-1][0], end)) <= limit:
                    found[-1] = (found[-1][0], max(end, found[-1][1]), *found[-1][2:])
            sentence = found[-1][2] + 1 if found else 0
        if line.rstrip()[-1:] not in _LINE_GOES_ON:
            strengthen(Boundary.PARAGRAPH)
    spans = [placed.span(start, end) for start, end, *_ in found]
    return [
        Piece(number, source[slice(*span)], span, spoken(start, end), boundary)
        for span, (start, end, number, boundary) in zip(spans, found, strict=True)
    ]


def expected_seconds(text: str) -> float:
    """A rough estimate of how long a text takes to speak, in seconds.

    Letters pass at 14 a second, Chinese characters, kana and Hangul at 4.5, and a digit takes
    0.4 s, since it may be a word of its own.
    """
    digits = sum(c.isnumeric() and not c.isalpha() for c in text)
    letters = "".join(filter(str.isalpha, text))
    dense = len(re.findall(f"[{_CJK}]", letters))
    return (len(letters) - dense) / 14 + dense / 4.5 + digits * 0.4


def _words(text: str) -> list[tuple[str, int, int]]:
    """The words of a text: the gap before each, its first character, and the one after its last.

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


def _audible(text: str) -> bool:
    """Whether anything in the text can be spoken: a letter or a digit of any script."""
    return any(c.isalnum() for c in text)


def _fit(text: str, limit: int, levels: tuple[Callable[[str], list[int]], ...]) -> list[str]:
    """Cuts `text` at the first of `levels` where it can, deeper where it must.

    Returns:
        Pieces of at most `limit` characters besides the white space around them; put together
        they are `text`.
    """
    if len(text.strip()) <= limit:
        return [text]
    # As many pieces as it takes, all about as long: no last piece of two words.
    enough = math.ceil(len(text) / math.ceil(len(text) / limit))
    if not levels:
        return [text[start : start + enough] for start in range(0, len(text), enough)]
    pieces: list[str] = []
    current = ""
    for part in _cut(text, levels[0](text)):
        if len(current) < enough and len((current + part).strip()) <= limit:
            current += part
            continue
        *whole, current = [current, *_fit(part, limit, levels[1:])]
        pieces += whole
    return [piece for piece in [*pieces, current] if piece]


def _sentences(line: str, limit: int) -> list[str]:
    """The sentences of a line, very short ones joined; put together they are the line."""
    joined: list[str] = []
    for sentence in _cut(line, _sentence_ends(line)):
        if joined and _short(joined[-1]) and len((joined[-1] + sentence).strip()) <= limit:
            joined[-1] += sentence
        else:
            joined.append(sentence)
    if len(joined) > 1 and _short(joined[-1]) and len("".join(joined[-2:]).strip()) <= limit:
        joined[-2:] = ["".join(joined[-2:])]
    return joined


def _short(sentence: str) -> bool:
    """Whether a sentence, or nothing but symbols, is too short to be spoken by itself."""
    return expected_seconds(sentence) < SHORTEST_SENTENCE


def _cut(text: str, places: list[int]) -> list[str]:
    """The text cut at places, which are in order."""
    return [text[a:b] for a, b in itertools.pairwise([0, *places, len(text)]) if a < b]


def _sentence_ends(text: str) -> list[int]:
    """Where the sentences after the first begin."""
    return [m.end() for m in _SENTENCE.finditer(text) if _ends_sentence(text, m)]


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether sentence marks end a sentence where they stand."""
    marks, _, space = match.groups()
    following = text[match.end() : match.end() + 1]
    if any(mark in "。！？｡" for mark in marks):
        return True
    if not space:  # 3.14, example.com, "wait…what"; in Chinese text, ASCII ! and ? do end one
        return marks[-1] in "!?" and re.match(f"[{_CJK}]", following) is not None
    if following.islower():  # "Stop!" he said. Well... maybe.
        return False
    if marks != ".":
        return True
    word = _LAST_WORD.search(text, max(0, match.start() - 12), match.start())
    if word is None:
        return True
    initial = len(word.group()) == 1 and not re.match(f"[{_CJK}]", word.group())
    return not initial and word.group().lower() not in _ABBREVIATIONS


def _clause_ends(text: str) -> list[int]:
    """Where the clauses after the first begin."""
    return [match.end() for match in _CLAUSE.finditer(text)]


def _word_ends(text: str) -> list[int]:
    """Where the words after the first begin."""
    return [match.end() for match in _WORD.finditer(text)]


_LEVELS = (_clause_ends, _word_ends)
