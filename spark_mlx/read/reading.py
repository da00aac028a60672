"""A document being read aloud: where it is, and what a key does.

A document and a speaker → places as they are heard. Everything here happens in one thread: what
the speaker tells from its own is put down, and taken by `poll`. Knows nothing of terminals.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from spark_mlx.errors import SparkError
from spark_mlx.places import Span
from spark_mlx.read.documents import GAP, Document
from spark_mlx.read.speaking import (
    NORMAL_RATE,
    RATE_STEP,
    Connect,
    Speaker,
    State,
    allowed,
)

if TYPE_CHECKING:
    from spark_mlx.events import Event

# Characters that are given to the speaker at once, and how many such texts are given before they
# are heard: enough for it to work ahead, and little to throw away when someone moves.
_ENOUGH = 800
_AHEAD = 2


class Reading:
    """Reads a document from a place on.

    Args:
        connect: gives the speaker; called in a thread of its own, since it may take its time.
        rate: words a minute; None leaves it as the speaker has it.
        keep: told the place from time to time, to remember it.
        greeting: said before the text.

    Attributes:
        span: the sentence that is heard, or would be.
        state: what it is doing.
        rate: words a minute.
        failure: why it cannot speak, the last time that it could not.
    """

    def __init__(
        self,
        document: Document,
        connect: Connect,
        *,
        place: int = 0,
        voice: str | None = None,
        rate: int | None = None,
        greeting: str = "",
        keep: Callable[[int], None] | None = None,
    ) -> None:
        self.document = document
        self.span = document.sentence_at(place)
        self.state = State.LOADING
        self.failure = ""
        self.rate = NORMAL_RATE if rate is None else allowed(rate)
        self._rate_is_ours = rate is not None
        self._connect = connect
        self._voice = voice
        self._greeting = greeting
        self._keep = keep
        self._kept: int | None = None
        self._notices = [greeting] if greeting else []
        self._speaker: Speaker | None = None
        self._leave = contextlib.ExitStack()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._new: list[Span] = []  # sentences heard since the last poll
        self._given: dict[int, int] = {}  # utterances that are not over → where they begin
        self._heard = 0  # the utterance that is being heard
        self._next = 0  # where the text begins that was not given yet
        self._moved = False  # while it was paused: it cannot simply go on
        self._failures = 0  # since a sentence was last heard
        # To another speaker, since then. One that was never heard is not taken for gone.
        self._reconnected = True
        self._pattern: re.Pattern[str] | None = None

    # What the caller does from time to time.

    def start(self) -> None:
        """Begins as soon as there is a speaker; returns at once."""
        left, self._leave = self._leave, contextlib.ExitStack()
        threading.Thread(
            target=self._fetch_speaker, args=(left,), name="spark-mlx read", daemon=True
        ).start()

    def poll(self) -> list[Span]:
        """Takes what the speaker has told; gives the sentences that began since, in order."""
        while not self._inbox.empty():
            self._try(self._inbox.get())
        heard, self._new = self._new, []
        return heard

    def notices(self) -> list[str]:
        """What is to be told since the last call."""
        notices, self._notices = self._notices, []
        return list(dict.fromkeys(notices))

    def keep(self) -> None:
        """Remembers the place, if it is another than last time."""
        place = self.document.end if self.state is State.ENDED else self.span[0]
        if self._keep is None or place == self._kept:
            return
        self._kept = place
        try:
            self._keep(place)
        except OSError as error:
            self._notices.append(f"the place cannot be kept ({error.strerror or error})")
            self._keep = None  # said once

    def close(self) -> None:
        """Remembers the place and ends the speech."""
        self.keep()
        with self._leave, contextlib.suppress(SparkError):  # it may be gone already
            self._let_go()

    @property
    def per_cent(self) -> int:
        """How much of the document comes before the place."""
        if self.state is State.ENDED:
            return 100
        return 100 * self.span[0] // self.document.end

    # What keys do.

    def toggle(self) -> None:
        """Pauses or goes on; after a failure tries again, from the end begins anew."""
        speaker = self._speaker
        if speaker is None:
            if self.state is State.FAILED:
                self.start()
            self._moved = self.state is State.LOADING  # nothing was given that could go on
            self.state = State.PAUSED if self._moved else State.LOADING
        elif self.state in (State.SPEAKING, State.LOADING):
            self.state = State.PAUSED
            self._try(speaker.pause)
            self.keep()
        elif self.state is State.ENDED:
            self._go(self.document.sentence_at(0))
        elif self._moved or self.state is State.FAILED:
            self._reconnected = False
            self._read_from(self.span)
        else:
            self.state = State.SPEAKING
            self._try(speaker.resume)

    def sentence(self, step: int) -> None:
        """Goes a sentence back or on; with 0 says this one again."""
        at = self.span[0]
        if step < 0 and self.state is State.ENDED:
            target: Span | None = self.document.sentence_at(self.document.end)
        elif step < 0:
            target = self.document.sentence_before(at)
        elif step > 0:
            target = self.document.sentence_after(at)
        else:
            target = self.span
        if target is None:
            self._notices.append("this is the first sentence" if step < 0 else "the end is here")
            target = self.span
            if step > 0:
                return
        if step and target != self.span and self._skip(target, step):
            return
        self._go(target)

    def paragraph(self, step: int) -> None:
        """Goes to the next paragraph, or to the beginning of this one, then of the one before."""
        index = self.document.paragraph_at(self.span[0])
        begun = self.document.sentences(index)[0]
        if step < 0 and (self.span[0] > begun[0] or index == 0):
            self._go(begun)
        elif step > 0 and index + 1 == len(self.document.paragraphs):
            self._notices.append("this is the last paragraph")
        else:
            self._go(self.document.sentences(index + step)[0])

    def heading(self, step: int) -> None:
        """Goes to the next or the last heading."""
        paragraphs = self.document.paragraphs
        index = self.document.paragraph_at(self.span[0]) + step
        while 0 <= index < len(paragraphs):
            if paragraphs[index].level:
                self._go(self.document.sentences(index)[0])
                return
            index += step
        self._notices.append(f"there is no heading {'further on' if step > 0 else 'before'}")

    def edge(self, last: bool) -> None:
        """Goes to the first or the last sentence."""
        self._go(self.document.sentence_at(self.document.end if last else 0))

    def faster(self, step: int) -> None:
        """Changes the rate by a number of steps."""
        self.rate = allowed(self.rate + step * RATE_STEP)
        self._rate_is_ours = True
        if self._speaker is not None:
            self._try(functools.partial(self._set_rate, self._speaker))
        self._notices.append(f"{self.rate} words a minute")

    def search(self, words: str) -> None:
        """Goes to the next sentence that holds some words, whatever their case and gaps."""
        if words.strip():
            self._pattern = re.compile(r"\s+".join(map(re.escape, words.split())), re.IGNORECASE)
        self.search_again(1)

    def search_again(self, step: int) -> None:
        """Goes to the next or the last sentence with what was searched for."""
        if self._pattern is None:
            self._notices.append("nothing was searched for yet; / searches")
            return
        text, (start, end) = self.document.text, self.span
        if step > 0:
            found = self._pattern.search(text, end) or self._pattern.search(text)
            around = found is not None and found.start() < end
        else:
            matches = list(self._pattern.finditer(text))
            found = next((m for m in reversed(matches) if m.start() < start), None)
            around = found is None and bool(matches)
            found = matches[-1] if around else found
        if found is None:
            self._notices.append("not found")
            return
        if around:
            self._notices.append(f"from the {'start' if step > 0 else 'end'} again")
        self._go(self.document.sentence_at(found.start()))

    # How the speaker is led.

    def _try(self, action: Callable[[], None]) -> None:
        """Does something that a speaker may refuse."""
        try:
            action()
        except SparkError as error:
            if self._speaker is None or self._reconnected:
                self._fail(str(error))
            else:
                self._notices.append(str(error))
                self._reconnect()

    def _reconnect(self) -> None:
        """Looks for another speaker, when the one that was there is gone."""
        self._reconnected = True
        self._speaker = None
        self._given.clear()
        if self.state is State.PAUSED:
            self._moved = True
        else:
            self.state = State.LOADING
        self.start()

    def _fetch_speaker(self, left: contextlib.ExitStack) -> None:
        with contextlib.suppress(SparkError):
            left.close()
        try:
            speaker = self._leave.enter_context(self._connect())
        except SparkError as error:
            self._inbox.put(functools.partial(self._fail, str(error)))
        else:
            self._inbox.put(functools.partial(self._begin, speaker))

    def _begin(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._leave.callback(
            speaker.subscribe(lambda event: self._inbox.put(functools.partial(self._take, event)))
        )
        if self._rate_is_ours:
            self._set_rate(speaker)
        else:
            self.rate = allowed(round(speaker.rate * NORMAL_RATE))
        if self.state is State.PAUSED:
            return
        if self._greeting:
            speaker.say(self._greeting, voice=self._voice, now=True)
        self._give_from(self.span[0], now=not self._greeting)

    def _set_rate(self, speaker: Speaker) -> None:
        speaker.rate = self.rate / NORMAL_RATE

    def _take(self, event: Event) -> None:
        if event.utterance not in self._given:
            return  # of someone else, or of what was left
        if event.kind == "sentence":
            begun = self._given[event.utterance]
            self._heard = event.utterance
            self._failures, self._reconnected = 0, False
            self.span = begun + event.span[0], begun + event.span[1]
            self._new.append(self.span)
            if self.state is State.LOADING:
                self.state = State.SPEAKING
        elif event.kind == "end":
            del self._given[event.utterance]
            self._give()
            if not self._given and self.state is State.SPEAKING:
                self.state = State.ENDED
                self.keep()
        elif event.kind == "stopped":
            self._given.clear()
            if self.state is not State.PAUSED:
                self._notices.append("stopped; space goes on")
            self._wait()
        elif event.kind == "error":
            self._take_error(event)

    def _take_error(self, event: Event) -> None:
        """One text that cannot be spoken is passed over. If the next fails too, it is tried once
        more, and then it stops."""
        begun = self._given.pop(event.utterance)
        self._failures += 1
        if self._failures > 2:
            self._fail(event.message)
            return
        self._notices.append(event.message)
        if self._failures == 1 and self._given:
            self.span = self.document.sentence_at(max(begun, self.span[0]))
            self._give()
        else:
            self._given.clear()
            self._give_from(self.span[0], now=True)

    def _fail(self, message: str) -> None:
        self._given.clear()
        self._failures = 0
        self.state = State.FAILED
        self.failure = message
        self._notices.append(f"{message}; space tries again")

    def _go(self, span: Span) -> None:
        """Goes to a sentence, and reads on from there unless it is paused."""
        self.span = span
        if self.state is State.PAUSED:
            self._try(self._let_go)
            self._moved = True
        else:
            self._read_from(span)

    def _let_go(self) -> None:
        """Takes back what was given. Nothing stays paused: the daemon may speak for others."""
        given, self._given = self._given, {}  # what is told of them from now on is old
        if self._speaker is None:
            return
        for utterance in reversed(given):  # what comes next must not begin when this one ends
            self._speaker.stop(utterance)
        if given and self.state is State.PAUSED:
            self._speaker.resume()

    def _read_from(self, span: Span) -> None:
        if self._speaker is not None:
            self._given.clear()
            self._try(functools.partial(self._give_from, span[0], now=True))

    def _wait(self) -> None:
        self.state = State.PAUSED
        self._moved = True

    def _skip(self, target: Span, step: int) -> bool:
        """Lets the speaker go on to a sentence that it may have made already, if it can."""
        speaker, begun = self._speaker, self._given.get(self._heard)
        if speaker is None or begun is None or self.state is not State.SPEAKING:
            return False
        later = [start for start in self._given.values() if start > begun]
        if not begun <= target[0] < min([*later, self._next]):
            return False
        self.span = target
        self._try(functools.partial(speaker.skip, step))
        return True

    def _give_from(self, place: int, now: bool) -> None:
        """Gives the speaker the text from a place on, and lets go what it had before."""
        self._moved = False
        if self.state is not State.LOADING:
            self.state = State.SPEAKING
        # The whole paragraph, so that the speaker can go back in it by itself.
        self._next = self.document.paragraphs[self.document.paragraph_at(place)].start
        self._give(place, now)

    def _give(self, place: int = 0, now: bool = False) -> None:
        """Gives the speaker text until it has enough."""
        while self._speaker is not None and len(self._given) < _AHEAD:
            begin = self._next
            if begin >= self.document.end:
                return
            index = self.document.paragraph_at(begin)
            end = self.document.paragraphs[index].end
            while end - max(begin, place) < _ENOUGH and index + 1 < len(self.document.paragraphs):
                index += 1
                end = self.document.paragraphs[index].end
            utterance = self._speaker.say(
                self.document.text[begin:end],
                voice=self._voice,
                now=now,
                start=max(0, place - begin),
            )
            self._given[utterance] = begin
            self._next = end + len(GAP)
            now = False
