"""Where a key leads in a document: another sentence, paragraph or heading, or what is searched for.

A reading and a step → it goes there, or has a notice why not.
"""

from __future__ import annotations

import re

from spark_mlx.reader.reading import Reading
from spark_mlx.reader.speaking import State
from spark_mlx.text.alignment import Span


def sentence(reading: Reading, step: int) -> None:
    """Goes a sentence back or on; with 0 says this one again."""
    at = reading.span[0]
    if step < 0 and reading.state is State.ENDED:
        target: Span | None = reading.document.sentence_at(reading.document.end)
    elif step < 0:
        target = reading.document.sentence_before(at)
    elif step > 0:
        target = reading.document.sentence_after(at)
    else:
        target = reading.span
    if target is None:
        reading.tell("this is the first sentence" if step < 0 else "the end is here")
        target = reading.span
        if step > 0:
            return
    if step and target != reading.span and reading.skip(target, step):
        return
    reading.go(target)


def paragraph(reading: Reading, step: int) -> None:
    """Goes to the next paragraph, or to the beginning of this one, then of the one before."""
    index = reading.document.paragraph_at(reading.span[0])
    begun = reading.document.sentences(index)[0]
    if step < 0 and (reading.span[0] > begun[0] or index == 0):
        reading.go(begun)
    elif step > 0 and index + 1 == len(reading.document.paragraphs):
        reading.tell("this is the last paragraph")
    else:
        reading.go(reading.document.sentences(index + step)[0])


def heading(reading: Reading, step: int) -> None:
    """Goes to the next or the last heading."""
    paragraphs = reading.document.paragraphs
    index = reading.document.paragraph_at(reading.span[0]) + step
    while 0 <= index < len(paragraphs):
        if paragraphs[index].level:
            reading.go(reading.document.sentences(index)[0])
            return
        index += step
    reading.tell(f"there is no heading {'further on' if step > 0 else 'before'}")


def edge(reading: Reading, last: bool) -> None:
    """Goes to the first or the last sentence."""
    reading.go(reading.document.sentence_at(reading.document.end if last else 0))


def search(reading: Reading, words: str) -> None:
    """Goes to the next sentence that holds some words, whatever their case and gaps."""
    if words.strip():
        reading.pattern = re.compile(r"\s+".join(map(re.escape, words.split())), re.IGNORECASE)
    search_again(reading, 1)


def search_again(reading: Reading, step: int) -> None:
    """Goes to the next or the last sentence with what was searched for."""
    if reading.pattern is None:
        reading.tell("nothing was searched for yet; / searches")
        return
    text, (start, end) = reading.document.text, reading.span
    if step > 0:
        found = reading.pattern.search(text, end) or reading.pattern.search(text)
        around = found is not None and found.start() < end
    else:
        matches = list(reading.pattern.finditer(text))
        found = next((m for m in reversed(matches) if m.start() < start), None)
        around = found is None and bool(matches)
        found = matches[-1] if around else found
    if found is None:
        reading.tell("not found")
        return
    if around:
        reading.tell(f"from the {'start' if step > 0 else 'end'} again")
    reading.go(reading.document.sentence_at(found.start()))
