"""Where sentences, clauses and words end.

str → the index after each but the last. Knows nothing of pieces and their lengths.
"""

from __future__ import annotations

import re

CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"

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


def sentence_ends(text: str) -> list[int]:
    """Find where the sentences after the first begin."""
    return [match.end() for match in _SENTENCE.finditer(text) if _ends_sentence(text, match)]


def clause_ends(text: str) -> list[int]:
    """Find where the clauses after the first begin."""
    return [match.end() for match in _CLAUSE.finditer(text)]


def word_ends(text: str) -> list[int]:
    """Find where the words after the first begin."""
    return [match.end() for match in _WORD.finditer(text)]


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether sentence marks end a sentence where they stand."""
    marks, _, space = match.groups()
    following = text[match.end() : match.end() + 1]
    if any(mark in "。！？｡" for mark in marks):
        return True
    if not space:  # 3.14, example.com, "wait…what"; in Chinese text, ASCII ! and ? do end one
        return marks[-1] in "!?" and re.match(f"[{CJK}]", following) is not None
    if following.islower():  # "Stop!" he said. Well... maybe.
        return False
    if marks != ".":
        return True
    word = _LAST_WORD.search(text, max(0, match.start() - 12), match.start())
    if word is None:
        return True
    initial = len(word.group()) == 1 and not re.match(f"[{CJK}]", word.group())
    return not initial and word.group().lower() not in _ABBREVIATIONS
