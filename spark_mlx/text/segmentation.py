"""Segmentation: a text → the pieces it is spoken in, each with its place in the caller's text.

str → tidy → numbers and the like in words → `Piece`s of at most so many characters. Knows nothing
of tokens or voices.
"""

from __future__ import annotations

import enum
import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from spark_mlx.text.alignment import AlignedText, Span
from spark_mlx.text.duration import expected_seconds
from spark_mlx.text.normalization import replacements
from spark_mlx.text.sentences import CJK, clause_ends, join_sentences, sentence_ends, word_ends
from spark_mlx.text.tidy import is_speakable, tidy

LONGEST_PIECE = 200  # characters; the model is at home with some ten seconds
# A sentence that is spoken faster than this, in seconds, is spoken together with the next one:
# "No. Never." Alone, the model has too little to go by, and a subtitle would only flash.
SHORTEST_SENTENCE = 0.8

_LINE_GOES_ON = ",，、—–-"  # a verse whose sentence is not over
_CLAUSE_MARKS = " ,;:–—，；：、"
_CJK = re.compile(f"[{CJK}]")
_LEVELS = (clause_ends, word_ends)  # where a long sentence is cut, the best first


class Boundary(enum.IntEnum):
    """The boundary between a piece of text and the next, the stronger the greater."""

    CLAUSE = 0
    SENTENCE = 1
    PARAGRAPH = 2


@dataclass(frozen=True)
class Piece:
    """A piece spoken in one go: a sentence, a few very short ones, or a part of a long one.

    Attributes:
        sentence: its sentence's number in the text, from 0; the parts of a long one share it.
        text: the words as they were given, with their line breaks.
        span: the place of `text` in the caller's text.
        spoken: the words for the model, with numbers and the like written out.
        boundary: the boundary after it.
    """

    sentence: int
    text: str
    span: Span
    spoken: str
    boundary: Boundary


def segment(text: str, limit: int = LONGEST_PIECE, single_sentences: bool = False) -> list[Piece]:
    """Cut a text into pieces of at most `limit` spoken characters, in order.

    Args:
        single_sentences: whether short sentences that share a piece are joined by commas.

    Raises:
        TextError: as `tidy`.
    """
    tidied = tidy(text)
    pieces = cut(text, tidied.replace(replacements(tidied.text)), limit)
    if not single_sentences:
        return pieces
    return [replace(piece, spoken=join_sentences(piece.spoken)) for piece in pieces]


def sentence_spans(text: str) -> list[Span]:
    """Find the places of the sentences of a text, as `segment` takes them; at least one.

    Raises:
        TextError: as `tidy`.
    """
    spans: dict[int, Span] = {}
    for piece in segment(text):
        first, _ = spans.get(piece.sentence, piece.span)
        spans[piece.sentence] = first, piece.span[1]
    return list(spans.values())


def halves(spoken: str) -> list[str]:
    """Cut the words of a piece in two sentences, best between clauses; one word stays whole."""
    quarter, middle = len(spoken) // 4, len(spoken) // 2
    clauses = [end for end in clause_ends(spoken) if quarter <= end <= len(spoken) - quarter]
    places = clauses or word_ends(spoken) or [m.start() for m in _CJK.finditer(spoken)][1:]
    if not places:
        return [spoken]
    place = min(places, key=lambda end: abs(end - middle))
    first, second = spoken[:place].rstrip(_CLAUSE_MARKS), spoken[place:]
    if not (is_speakable(first) and is_speakable(second)):
        return [spoken]
    if first[-1].isalnum():
        first += "。" if _CJK.match(first[-1]) else "."
    return [first, second]


def cut(source: str, aligned: AlignedText, limit: int = LONGEST_PIECE) -> list[Piece]:
    """Cut a tidy text into pieces of at most `limit` characters, in order.

    A sentence is one piece; very short ones of a line share one. A sentence that is too long is
    cut at the ends of clauses, then between words, then anywhere, into pieces of about even
    length. Nothing that has a sound is lost; symbols on their own join a neighbour, or are dropped
    when it is full.

    Args:
        source: the caller's text, which the places of `aligned` are in.
    """
    text = aligned.text
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
                if is_speakable(part):
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
    spans = [aligned.span(start, end) for start, end, *_ in found]
    return [
        Piece(number, source[slice(*span)], span, spoken(start, end), boundary)
        for span, (start, end, number, boundary) in zip(spans, found, strict=True)
    ]


def _fit(text: str, limit: int, levels: tuple[Callable[[str], list[int]], ...]) -> list[str]:
    """Cut `text` at the first of `levels` where it can, deeper where it must.

    Returns:
        Parts of at most `limit` characters besides the white space around them; put together they
        are `text`.
    """
    if len(text.strip()) <= limit:
        return [text]
    # As many parts as it takes, all about as long: no last part of two words.
    enough = math.ceil(len(text) / math.ceil(len(text) / limit))
    if not levels:
        return [text[start : start + enough] for start in range(0, len(text), enough)]
    parts: list[str] = []
    current = ""
    for part in _cut_at(text, levels[0](text)):
        if len(current) < enough and len((current + part).strip()) <= limit:
            current += part
            continue
        *whole, current = [current, *_fit(part, limit, levels[1:])]
        parts += whole
    return [part for part in [*parts, current] if part]


def _sentences(line: str, limit: int) -> list[str]:
    """Cut a line into sentences, very short ones joined; put together they are the line."""
    joined: list[str] = []
    for sentence in _cut_at(line, sentence_ends(line)):
        if joined and _is_short(joined[-1]) and len((joined[-1] + sentence).strip()) <= limit:
            joined[-1] += sentence
        else:
            joined.append(sentence)
    if len(joined) > 1 and _is_short(joined[-1]) and len("".join(joined[-2:]).strip()) <= limit:
        joined[-2:] = ["".join(joined[-2:])]
    return joined


def _is_short(sentence: str) -> bool:
    """Whether a sentence, or nothing but symbols, is too short to be spoken by itself."""
    return expected_seconds(sentence) < SHORTEST_SENTENCE


def _cut_at(text: str, places: list[int]) -> list[str]:
    """Cut a text at places, which are in order."""
    return [text[a:b] for a, b in itertools.pairwise([0, *places, len(text)]) if a < b]
