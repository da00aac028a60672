"""Text on its way to the tokens: checked, tidied, and cut into pieces the model speaks well.

str → str (`clean`) → list of str (`split`). Knows nothing of tokens or voices. Between the two
steps, `normalise` writes numbers and dates out in words.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

from spark_mlx.errors import TextError

LONGEST_TEXT = 50_000  # characters, about an hour of speech

# A surrogate that stands alone is half a character; it comes from bytes that were not UTF-8.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# Byte order mark, zero-width characters, soft hyphen, and marks of writing direction.
_INVISIBLE = re.compile(r"[\ufeff\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069]")
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"

_CLOSERS = r"""["'”’»)\]】」』）》〉]*"""
# Groups: the marks, then what closes with them, then the space to the next sentence.
_SENTENCE = re.compile(rf"([.!?…。！？｡]+)({_CLOSERS})(\s*)")
_CLAUSE = re.compile(rf"([，；：、—…]+{_CLOSERS}\s*|(?<![,;:–])[,;:–]+{_CLOSERS}\s+)")
_WORD = re.compile(r"\s+")

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


def clean(text: str) -> str:
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
    text = _INVISIBLE.sub("", text)
    if not text.strip():
        raise TextError("the text is empty; give some words to speak")
    if not _audible(text):
        raise TextError(f"there is nothing to say in {text.strip()[:20]!r}; give some words")
    return _unwrap([" ".join(line.split()) for line in text.splitlines()])


def split(text: str, limit: int = 200) -> list[str]:
    """Cuts a cleaned text into pieces of at most `limit` characters, in order.

    A line that fits is one piece. A longer one is cut at the ends of sentences, then of clauses,
    then between words, then anywhere, into pieces of about even length. Nothing that has a sound
    is lost; symbols on their own join a neighbour, or are dropped when it is full.
    """
    pieces: list[str] = []
    waiting = ""  # symbols that come before anything with a sound
    for line in text.splitlines():
        for piece in map(str.strip, _fit(line.strip(), limit, _LEVELS)):
            if _audible(piece):
                joined = f"{waiting} {piece}".lstrip()
                pieces.append(joined if len(joined) <= limit else piece)
                waiting = ""
            elif not pieces:
                waiting = f"{waiting} {piece}".strip()
            elif len(pieces[-1]) + 1 + len(piece) <= limit:
                pieces[-1] = f"{pieces[-1]} {piece}".rstrip()
    return pieces


def expected_seconds(text: str) -> float:
    """A rough estimate of how long a text takes to speak, in seconds.

    Letters pass at 14 a second, Chinese characters, kana and Hangul at 4.5, and a digit takes
    0.4 s, since it may be a word of its own.
    """
    digits = sum(c.isnumeric() and not c.isalpha() for c in text)
    letters = "".join(filter(str.isalpha, text))
    dense = len(re.findall(f"[{_CJK}]", letters))
    return (len(letters) - dense) / 14 + dense / 4.5 + digits * 0.4


def _unwrap(lines: list[str]) -> str:
    """Puts lines together: hard-wrapped ones with a space, the others with a line feed."""
    text = last = ""
    for line in lines:
        if line and text:
            wrapped = len(last) >= _WRAPPED_LINE and last[-1] not in _LINE_ENDS
            text += " " if wrapped else "\n"
        text += line
        last = line
    return text


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
    cuts = [0, *levels[0](text), len(text)]
    pieces: list[str] = []
    current = ""
    for part in (text[a:b] for a, b in itertools.pairwise(cuts)):
        if len(current) < enough and len((current + part).strip()) <= limit:
            current += part
            continue
        *whole, current = [current, *_fit(part, limit, levels[1:])]
        pieces += whole
    return [piece for piece in [*pieces, current] if piece]


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


_LEVELS = (_sentence_ends, _clause_ends, _word_ends)
