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
# Words that open a sentence, and follow no initial: "So did I. Then we left."
OPENING_WORD = re.compile(
    r"\s+[\"'“‘]?(?:The|It|He|She|They|We|I|You|An?|This|That|These|Those|There|Here|My|His|Her|Our"
    r"|Your|Their|Its|In|On|At|But|And|Or|So|If|As|By|To|From|For|With|After|Before|When|While|Then"
    r"|Now|What|Who|Why|How|Where|Is|Are|Was|Were|Do|Did|Not|No|Yes|Let|Please|All|Some)(?![\w.])"
)
_LAST_WORD = re.compile(r"[^\W\d_]+$")


def sentence_ends(text: str) -> list[int]:
    """Find where the sentences after the first begin."""
    return [match.end() for match in _SENTENCE.finditer(text) if _ends_sentence(text, match)]


def join_sentences(text: str) -> str:
    """Turn the marks that end sentences inside a text into commas, and drop those of abbreviations.

    For models that know single sentences only, and stop at such a mark.
    """

    def joined(match: re.Match[str]) -> str:
        marks, closers, space = match.groups()
        following = text[match.end() :]
        if not any(map(str.isalnum, following)):
            return match[0]
        if any(mark in "。！？｡" for mark in marks):
            return f"，{closers}{space}"
        if not space and (following[0].isalnum() and marks in ".!?"):  # 3.14, example.com
            return match[0]
        if following[0] in ",;:" or (marks == "." and not _ends_sentence(text, match)):
            return closers + space
        return f",{closers}{space or ' '}"

    return _SENTENCE.sub(joined, text)


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
    if len(word.group()) == 1 and not re.match(f"[{CJK}]", word.group()):  # an initial, or "I"
        alone = text[max(0, word.start() - 1) : word.start()] not in "."
        return alone and OPENING_WORD.match(text, match.start() + 1) is not None
    return word.group().lower() not in _ABBREVIATIONS
