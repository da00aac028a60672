"""Move a reading by sentence, paragraph or heading, or to a match of a search.

A reading and a step → the reading moves, or notes why it does not.
"""

from __future__ import annotations

import re

from spark_mlx.reader.engine import State
from spark_mlx.reader.reading import Reading
from spark_mlx.text.alignment import Span


def sentence(reading: Reading, step: int) -> None:
    """Go a sentence back or on; 0 repeats this one."""
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
        reading.notify("this is the first sentence" if step < 0 else "the end is here")
        target = reading.span
        if step > 0:
            return
    if step and target != reading.span and reading.skip(target, step):
        return
    reading.go(target)


def paragraph(reading: Reading, step: int) -> None:
    """Go to the next paragraph, or back to the beginning of this one, then of the one before."""
    index = reading.document.paragraph_at(reading.span[0])
    begun = reading.document.sentences(index)[0]
    if step < 0 and (reading.span[0] > begun[0] or index == 0):
        reading.go(begun)
    elif step > 0 and index + 1 == len(reading.document.paragraphs):
        reading.notify("this is the last paragraph")
    else:
        reading.go(reading.document.sentences(index + step)[0])


def heading(reading: Reading, step: int) -> None:
    """Go to the next or the previous heading."""
    paragraphs = reading.document.paragraphs
    index = reading.document.paragraph_at(reading.span[0]) + step
    while 0 <= index < len(paragraphs):
        if paragraphs[index].level:
            reading.go(reading.document.sentences(index)[0])
            return
        index += step
    reading.notify(f"there is no heading {'further on' if step > 0 else 'before'}")


def edge(reading: Reading, last: bool) -> None:
    """Go to the first or the last sentence."""
    reading.go(reading.document.sentence_at(reading.document.end if last else 0))


def search(reading: Reading, words: str) -> None:
    """Go to the next sentence that holds these words, ignoring case and white space."""
    if words.strip():
        reading.pattern = re.compile(r"\s+".join(map(re.escape, words.split())), re.IGNORECASE)
    search_again(reading, 1)


def search_again(reading: Reading, step: int) -> None:
    """Go to the next or the previous match of the last search."""
    if reading.pattern is None:
        reading.notify("nothing was searched for yet; / searches")
        return
    text, (start, end) = reading.document.text, reading.span
    if step > 0:
        found = reading.pattern.search(text, end) or reading.pattern.search(text)
        wrapped = found is not None and found.start() < end
    else:
        matches = list(reading.pattern.finditer(text))
        found = next((m for m in reversed(matches) if m.start() < start), None)
        wrapped = found is None and bool(matches)
        found = matches[-1] if wrapped else found
    if found is None:
        reading.notify("not found")
        return
    if wrapped:
        reading.notify(f"from the {'start' if step > 0 else 'end'} again")
    reading.go(reading.document.sentence_at(found.start()))
