"""Gives a document to a speaker, a few paragraphs at a time: places → utterances and back."""

from __future__ import annotations

from spark_mlx.reader.documents import GAP, Document
from spark_mlx.reader.speaking import Speaker
from spark_mlx.text.alignment import Span

# Characters that are given to the speaker at once, and how many such texts are given before they
# are heard: enough for it to work ahead, and little to throw away when someone moves.
_ENOUGH = 800
_AHEAD = 2


class Feed:
    """What a speaker was given of a document.

    Attributes:
        given: utterances that are not over → where they begin.
        heard: the utterance that is being heard.
    """

    def __init__(self, document: Document, voice: str | None) -> None:
        self.given: dict[int, int] = {}
        self.heard = 0
        self._document = document
        self._voice = voice
        self._next = 0  # where the text begins that was not given yet

    def give_from(self, speaker: Speaker, place: int, now: bool) -> None:
        """Gives the speaker the text from a place on, and lets go what it had before."""
        # The whole paragraph, so that the speaker can go back in it by itself.
        self._next = self._document.paragraphs[self._document.paragraph_at(place)].start
        self.give(speaker, place, now)

    def give(self, speaker: Speaker, place: int = 0, now: bool = False) -> None:
        """Gives the speaker text until it has enough."""
        document = self._document
        while len(self.given) < _AHEAD:
            begin = self._next
            if begin >= document.end:
                return
            index = document.paragraph_at(begin)
            end = document.paragraphs[index].end
            while end - max(begin, place) < _ENOUGH and index + 1 < len(document.paragraphs):
                index += 1
                end = document.paragraphs[index].end
            utterance = speaker.say(
                document.text[begin:end],
                voice=self._voice,
                now=now,
                start=max(0, place - begin),
            )
            self.given[utterance] = begin
            self._next = end + len(GAP)
            now = False

    def take_back(self, speaker: Speaker) -> bool:
        """Takes back what was given; tells whether there was something."""
        given, self.given = self.given, {}  # what is told of them from now on is old
        for utterance in reversed(given):  # what comes next must not begin when this one ends
            speaker.stop(utterance)
        return bool(given)

    def holds(self, span: Span) -> bool:
        """Whether a sentence is in the text of the utterance that is being heard."""
        begun = self.given.get(self.heard)
        if begun is None:
            return False
        later = [start for start in self.given.values() if start > begun]
        return begun <= span[0] < min([*later, self._next])
