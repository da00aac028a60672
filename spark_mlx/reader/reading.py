"""A document being read aloud: where the voice is, and what it goes on to.

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
from spark_mlx.reader.documents import Document
from spark_mlx.reader.feed import Feed
from spark_mlx.reader.speaking import NORMAL_RATE, RATE_STEP, Connect, Speaker, State, allowed
from spark_mlx.text.alignment import Span

if TYPE_CHECKING:
    from spark_mlx.speech_queue.events import Event


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
        pattern: what was searched for last.
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
        self.pattern: re.Pattern[str] | None = None
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
        self._feed = Feed(document, voice)
        self._moved = False  # while it was paused: it cannot simply go on
        self._failures = 0  # since a sentence was last heard
        # To another speaker, since then. One that was never heard is not taken for gone.
        self._reconnected = True

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

    # What keys do; where some of them lead is in `moves`.

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
            self.go(self.document.sentence_at(0))
        elif self._moved or self.state is State.FAILED:
            self._reconnected = False
            self._read_from(self.span)
        else:
            self.state = State.SPEAKING
            self._try(speaker.resume)

    def faster(self, step: int) -> None:
        """Changes the rate by a number of steps."""
        self.rate = allowed(self.rate + step * RATE_STEP)
        self._rate_is_ours = True
        if self._speaker is not None:
            self._try(functools.partial(self._set_rate, self._speaker))
        self._notices.append(f"{self.rate} words a minute")

    def go(self, span: Span) -> None:
        """Goes to a sentence, and reads on from there unless it is paused."""
        self.span = span
        if self.state is State.PAUSED:
            self._try(self._let_go)
            self._moved = True
        else:
            self._read_from(span)

    def skip(self, target: Span, step: int) -> bool:
        """Lets the speaker go on to a sentence that it may have made already, if it can."""
        speaker = self._speaker
        if speaker is None or self.state is not State.SPEAKING or not self._feed.holds(target):
            return False
        self.span = target
        self._try(functools.partial(speaker.skip, step))
        return True

    def tell(self, notice: str) -> None:
        """Adds a notice."""
        self._notices.append(notice)

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
        self._feed.given.clear()
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
        self._give_from(speaker, self.span[0], now=not self._greeting)

    def _set_rate(self, speaker: Speaker) -> None:
        speaker.rate = self.rate / NORMAL_RATE

    def _take(self, event: Event) -> None:
        if event.utterance not in self._feed.given:
            return  # of someone else, or of what was left
        if event.kind == "sentence":
            begun = self._feed.given[event.utterance]
            self._feed.heard = event.utterance
            self._failures, self._reconnected = 0, False
            self.span = begun + event.span[0], begun + event.span[1]
            self._new.append(self.span)
            if self.state is State.LOADING:
                self.state = State.SPEAKING
        elif event.kind == "end":
            del self._feed.given[event.utterance]
            self._give()
            if not self._feed.given and self.state is State.SPEAKING:
                self.state = State.ENDED
                self.keep()
        elif event.kind == "stopped":
            self._feed.given.clear()
            if self.state is not State.PAUSED:
                self._notices.append("stopped; space goes on")
            self._wait()
        elif event.kind == "error":
            self._take_error(event)

    def _take_error(self, event: Event) -> None:
        """One text that cannot be spoken is passed over. If the next fails too, it is tried once
        more, and then it stops."""
        begun = self._feed.given.pop(event.utterance)
        self._failures += 1
        if self._failures > 2:
            self._fail(event.message)
            return
        self._notices.append(event.message)
        if self._failures == 1 and self._feed.given:
            self.span = self.document.sentence_at(max(begun, self.span[0]))
            self._give()
        else:
            self._read_from(self.span)

    def _fail(self, message: str) -> None:
        self._feed.given.clear()
        self._failures = 0
        self.state = State.FAILED
        self.failure = message
        self._notices.append(f"{message}; space tries again")

    def _let_go(self) -> None:
        """Takes back what was given. Nothing stays paused: the daemon may speak for others."""
        speaker = self._speaker
        if speaker is not None and self._feed.take_back(speaker) and self.state is State.PAUSED:
            speaker.resume()

    def _read_from(self, span: Span) -> None:
        if self._speaker is not None:
            self._feed.given.clear()
            self._try(functools.partial(self._give_from, self._speaker, span[0], now=True))

    def _wait(self) -> None:
        self.state = State.PAUSED
        self._moved = True

    def _give_from(self, speaker: Speaker, place: int, now: bool) -> None:
        self._moved = False
        if self.state is not State.LOADING:
            self.state = State.SPEAKING
        self._feed.give_from(speaker, place, now)

    def _give(self) -> None:
        if self._speaker is not None:
            self._feed.give(self._speaker)
