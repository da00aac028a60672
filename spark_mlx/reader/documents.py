"""A document as it is read aloud: paragraphs, and sentences by their places.

A place is the index of a character in `Document.text`, in which a blank line parts the paragraphs.
Knows nothing of files; `formats` makes documents from them.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from spark_mlx.errors import TextError
from spark_mlx.text import Span, is_speakable, sentence_spans

GAP = "\n\n"  # between paragraphs
LONGEST_PARAGRAPH = 2000  # characters; what is longer is cut, so that each can be shown at once

# Control characters would move a terminal's cursor, and the others are not seen: marks of
# direction, zero-width ones, soft hyphens, a byte order mark, halves of characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffc\ufffe\uffff]"
)
_SPACE = re.compile(r"[^\S\n]+")
_LINE_BREAK = re.compile(r" ?\n[ \n]*")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[A-Za-z]+")
_CUT = re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？][”’」』）]*|\n")


class Block(NamedTuple):
    """A paragraph on its way into a document; `level` is that of a heading, 0 for none."""

    text: str
    level: int = 0


@dataclass(frozen=True)
class Paragraph:
    """A paragraph at its place; `level` is that of a heading, 1 to 6, or 0 for none."""

    text: str
    start: int
    level: int = 0

    @property
    def end(self) -> int:
        """The place after its last character."""
        return self.start + len(self.text)


@dataclass
class Document:
    """What is read.

    Attributes:
        title: to be shown; one line.
        paragraphs: in order, each with something to say; at least one.
        text: the paragraphs, with a blank line between two of them.
        path: the file it comes from, absolute; "" if from none.
        fingerprint: of the file's bytes.
    """

    title: str
    paragraphs: Sequence[Paragraph]
    text: str
    path: str = ""
    fingerprint: str = ""
    _starts: list[int] = field(default_factory=list, repr=False)
    _sentences: dict[int, list[Span]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, title: str, blocks: Iterable[Block], path: str = "", fingerprint: str = ""
    ) -> Document:
        """Makes a document of blocks; tidies them and leaves out what has no sound.

        Raises:
            TextError: nothing is left.
        """
        paragraphs: list[Paragraph] = []
        start = 0
        for block in blocks:
            for text in _cut(tidy(block.text)):
                if is_speakable(text):
                    paragraphs.append(Paragraph(text, start, block.level))
                    start += len(text) + len(GAP)
        if not paragraphs:
            raise TextError(f"there is nothing to read in {title}; give a document with words")
        text = GAP.join(paragraph.text for paragraph in paragraphs)
        starts = [paragraph.start for paragraph in paragraphs]
        return cls(" ".join(tidy(title).split()), paragraphs, text, path, fingerprint, starts)

    @property
    def end(self) -> int:
        """The place after the last character."""
        return len(self.text)

    @property
    def is_chinese(self) -> bool:
        """Whether what is said about it should be said in Chinese."""
        beginning = self.text[:2000]
        return len(_CHINESE.findall(beginning)) > len(_WORD.findall(beginning))

    def paragraph_at(self, place: int) -> int:
        """Which paragraph holds a place, or comes before the gap that does."""
        return max(0, bisect.bisect_right(self._starts, place) - 1)

    def sentences(self, index: int) -> list[Span]:
        """Where the sentences of a paragraph stand; together they cover what is spoken of it."""
        if index not in self._sentences:
            paragraph = self.paragraphs[index]
            self._sentences[index] = [
                (paragraph.start + start, paragraph.start + end)
                for start, end in sentence_spans(paragraph.text)
            ]
        return self._sentences[index]

    def sentence_at(self, place: int) -> Span:
        """The sentence that holds a place, else the one before it in its paragraph."""
        found = self.sentences(self.paragraph_at(place))
        return found[max(0, bisect.bisect_right(found, (place, self.end + 1)) - 1)]

    def sentence_after(self, place: int) -> Span | None:
        """The sentence after the one at a place; None after the last."""
        index = self.paragraph_at(place)
        for span in self.sentences(index):
            if span[0] > place:
                return span
        return self.sentences(index + 1)[0] if index + 1 < len(self.paragraphs) else None

    def sentence_before(self, place: int) -> Span | None:
        """The sentence before the one at a place; None before the first."""
        index = self.paragraph_at(place)
        at = self.sentence_at(place)[0]
        for span in reversed(self.sentences(index)):
            if span[0] < at:
                return span
        return self.sentences(index - 1)[-1] if index else None


def tidy(text: str) -> str:
    """Runs of white space become one space, or one line feed where a line ends.

    Characters that are not seen are dropped: none of what is left moves a cursor.
    """
    text = _UNSEEN.sub("", text.replace("\u2028", "\n"))
    return _LINE_BREAK.sub("\n", _SPACE.sub(" ", text)).strip()


def _cut(text: str) -> Iterable[str]:
    """A text in parts that are not too long, cut at the end of a sentence, else between words."""
    start = 0
    while len(text) - start > LONGEST_PARAGRAPH:
        window = text[start : start + LONGEST_PARAGRAPH]
        ends = [match.end() for match in _CUT.finditer(window, LONGEST_PARAGRAPH // 2)]
        space = window.rfind(" ") + 1
        end = start + (ends[-1] if ends else space or LONGEST_PARAGRAPH)
        yield text[start:end].strip()
        start = end
    yield text[start:].strip()
