"""Keep a few utterances of a document queued ahead of the voice.

Positions in the document → utterances of an engine, and back.
"""

from __future__ import annotations

from spark_mlx.reader.documents import GAP, Document
from spark_mlx.reader.engine import SpeechEngine
from spark_mlx.text.alignment import Span

# Characters to an utterance, and utterances queued at once: enough to synthesise ahead, and little
# to throw away when the reader moves.
_MIN_CHARACTERS = 800
_QUEUED = 2


class UtteranceWindow:
    """The part of a document that an engine has been given.

    Attributes:
        starts: unfinished utterances → the position where each begins.
        current: the utterance that is being heard.
    """

    def __init__(self, document: Document, voice: str | None) -> None:
        self.starts: dict[int, int] = {}
        self.current = 0
        self._document = document
        self._voice = voice
        self._next = 0  # position of the first text that is not queued

    def restart(self, engine: SpeechEngine, position: int, now: bool) -> None:
        """Queue the text from a position on; `now` drops what the engine had before."""
        # The whole paragraph, so that the engine can go back in it by itself.
        self._next = self._document.paragraphs[self._document.paragraph_at(position)].start
        self.fill(engine, position, now)

    def fill(self, engine: SpeechEngine, position: int = 0, now: bool = False) -> None:
        """Queue paragraphs until the window is full or the document ends."""
        document = self._document
        while len(self.starts) < _QUEUED:
            begin = self._next
            if begin >= document.end:
                return
            index = document.paragraph_at(begin)
            end = document.paragraphs[index].end
            while end - max(begin, position) < _MIN_CHARACTERS and index + 1 < len(
                document.paragraphs
            ):
                index += 1
                end = document.paragraphs[index].end
            utterance = engine.say(
                document.text[begin:end],
                voice=self._voice,
                now=now,
                start=max(0, position - begin),
            )
            self.starts[utterance] = begin
            self._next = end + len(GAP)
            now = False

    def withdraw(self, engine: SpeechEngine) -> bool:
        """Stop all queued utterances; return whether there were any."""
        starts, self.starts = self.starts, {}  # events of these are stale from now on
        for utterance in reversed(starts):  # the last first, or the next would begin to sound
            engine.stop(utterance)
        return bool(starts)

    def contains(self, span: Span) -> bool:
        """Whether a sentence belongs to the utterance that is being heard."""
        begun = self.starts.get(self.current)
        if begun is None:
            return False
        later = [start for start in self.starts.values() if start > begun]
        return begun <= span[0] < min([*later, self._next])
