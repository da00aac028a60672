"""What a message says, without its markup.

SSML → texts, the silence after each, and where in them the marks stand

A `<break>` ends a text. `<say-as>` that asks for letters is kept as a note; all other markup, such
as `<prosody>` and `<emphasis>`, is read past: the model chooses its own tune. What is no XML is
spoken without its tags.
"""

from __future__ import annotations

import html
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

# Seconds. A longer break than this is a slip, or an attack on patience.
LONGEST_BREAK = 10.0
_BREAKS = {
    "none": 0.0,
    "x-weak": 0.1,
    "weak": 0.2,
    "medium": 0.4,
    "strong": 0.8,
    "x-strong": 1.2,
}
_LETTERS = {"characters", "spell-out", "tts:char", "tts:key"}
_TIME = re.compile(r"([0-9]*\.?[0-9]+)(ms|s)")
_MARK = re.compile(r"""<mark\s+name\s*=\s*(?:"([^"<>]*)"|'([^'<>]*)')\s*(?:/>|>\s*</mark\s*>|>)""")
_TAG = re.compile(r"<[^<>]*>")
# A document type can define entities that grow without end, and no screen reader sends one.
_DOCUMENT_TYPE = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
# What the server makes of a plain text that it takes up again from the beginning.
_AGAIN = re.compile(r"\s*<speak>\s*&lt;speak&gt;")


@dataclass(frozen=True)
class Mark:
    """A mark: its name, and how many characters of the text stand before it."""

    name: str
    position: int


@dataclass
class Part:
    """A text to be spoken.

    Attributes:
        text: as it is written.
        marks: in order.
        pause: seconds of silence after it.
        spelled: whether it is read letter by letter.
    """

    text: str = ""
    marks: list[Mark] = field(default_factory=list)
    pause: float = 0.0
    spelled: bool = False


def parse(message: str) -> list[Part]:
    """The parts of a message, at least one. Anything is understood somehow."""
    message = "".join(c for c in message if c in "\t\n\r" or unicodedata.category(c) != "Cc")
    # Halves of characters cannot be written in UTF-8, which is what the parser reads.
    message = message.encode("utf-8", "replace").decode()
    if again := _AGAIN.match(message):
        message = "<speak>" + message[again.end() :].replace("&amp;", "&")
    if not _DOCUMENT_TYPE.search(message):
        try:
            reader = _Reader()
            reader.read(ElementTree.fromstring(message))
        except (ElementTree.ParseError, RecursionError):
            pass
        else:
            return reader.parts
    return [_stripped(message)]


class _Reader:
    """Walks through a message's elements and collects its parts."""

    def __init__(self) -> None:
        self.parts = [Part()]

    def read(self, element: ElementTree.Element) -> None:
        name = element.tag.rpartition("}")[2]
        letters = name == "say-as" and element.get("interpret-as", "") in _LETTERS
        if letters:
            self._next(spelled=True)
        if name == "mark":
            part = self.parts[-1]
            part.marks.append(Mark(element.get("name", ""), len(part.text)))
        elif name == "sub" and "alias" in element.attrib:
            self.parts[-1].text += element.get("alias", "")
        else:
            self.parts[-1].text += element.text or ""
        for child in element:
            self.read(child)
            self.parts[-1].text += child.tail or ""
        if letters:
            self._next()
        elif name == "break":
            self.parts[-1].pause = _seconds(element)
            self._next()

    def _next(self, spelled: bool = False) -> None:
        """Begin another part, unless the last one is still empty."""
        last = self.parts[-1]
        if last.text or last.marks or last.pause:
            self.parts.append(Part())
        self.parts[-1].spelled = spelled


def _seconds(element: ElementTree.Element) -> float:
    """How long a break is."""
    if match := _TIME.fullmatch(element.get("time", "").strip()):
        seconds = float(match[1]) / (1000 if match[2] == "ms" else 1)
        return min(LONGEST_BREAK, seconds)
    return _BREAKS.get(element.get("strength", ""), _BREAKS["medium"])


def _stripped(message: str) -> Part:
    """A message that is no XML: its tags are dropped, but the marks are kept."""
    part = Part()
    done = 0
    for match in _MARK.finditer(message):
        part.text += html.unescape(_TAG.sub("", message[done : match.start()]))
        part.marks.append(Mark(html.unescape(match[1] or match[2] or ""), len(part.text)))
        done = match.end()
    part.text += html.unescape(_TAG.sub("", message[done:]))
    return part
