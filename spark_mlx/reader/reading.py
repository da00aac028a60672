"""State of a document being read aloud: the sentence being heard, and the steps between states.

A document and a speech engine → spans as they are heard. Everything here runs in one thread:
events of the engine wait in its connection until `poll`. Knows nothing of terminals.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from spark_mlx.errors import SparkError
from spark_mlx.reader.connection import EngineConnection
from spark_mlx.reader.documents import Document
from spark_mlx.reader.engine import (
    NORMAL_RATE,
    RATE_STEP,
    OpenEngine,
    SpeechEngine,
    State,
    clamp_rate,
)
from spark_mlx.reader.utterance_window import UtteranceWindow
from spark_mlx.text.alignment import Span

if TYPE_CHECKING:
    from spark_mlx.speech_queue.events import Event


class Reading:
    """Reads a document from a position on.

    Args:
        open_engine: returns the engine; called in a thread of its own, since it may take seconds.
        rate: words a minute; None leaves it as the engine has it.
        keep: called with the position from time to time, to remember it.
        greeting: said before the text.

    Attributes:
        span: the sentence that is heard, or would be.
        state: loading, speaking, paused, ended or failed.
        rate: words a minute.
        failure: message of the last failure to speak.
        pattern: the last search.
    """

    def __init__(
        self,
        document: Document,
        open_engine: OpenEngine,
        *,
        position: int = 0,
        voice: str | None = None,
        rate: int | None = None,
        greeting: str = "",
        keep: Callable[[int], None] | None = None,
    ) -> None:
        self.document = document
        self.span = document.sentence_at(position)
        self.state = State.LOADING
        self.failure = ""
        self.pattern: re.Pattern[str] | None = None
        self.rate = NORMAL_RATE if rate is None else clamp_rate(rate)
        self._rate_is_chosen = rate is not None
        self._voice = voice
        self._greeting = greeting
        self._keep = keep
        self._kept: int | None = None
        self._notices = [greeting] if greeting else []
        self._connection = EngineConnection(
            open_engine, on_open=self._begin, on_event=self._handle, on_failure=self._fail
        )
        self._window = UtteranceWindow(document, voice)
        self._heard: list[Span] = []  # sentences since the last poll
        self._moved = False  # while paused: resuming the engine would go on at the old sentence
        self._failures = 0  # since a sentence was last heard
        # Whether a new engine was opened since then: one that never spoke is not opened again.
        self._reconnected = True

    # Called by the views.

    def start(self) -> None:
        """Open the engine and begin as soon as it is there; return at once."""
        self._connection.open()

    def poll(self) -> list[Span]:
        """Handle the engine's events; return the sentences that began since, in order."""
        while (action := self._connection.next_action()) is not None:
            self._try(action)
        heard, self._heard = self._heard, []
        return heard

    def take_notices(self) -> list[str]:
        """Messages for the reader since the last call."""
        notices, self._notices = self._notices, []
        return list(dict.fromkeys(notices))

    def keep(self) -> None:
        """Remember the position, if it has changed since the last time."""
        position = self.document.end if self.state is State.ENDED else self.span[0]
        if self._keep is None or position == self._kept:
            return
        self._kept = position
        try:
            self._keep(position)
        except OSError as error:
            self._notices.append(f"the place cannot be kept ({error.strerror or error})")
            self._keep = None  # said once

    def close(self) -> None:
        """Remember the position and end the speech."""
        self.keep()
        try:
            with contextlib.suppress(SparkError):  # the engine may be gone already
                self._withdraw()
        finally:
            self._connection.close()

    @property
    def per_cent(self) -> int:
        """Share of the document that comes before the position."""
        if self.state is State.ENDED:
            return 100
        return 100 * self.span[0] // self.document.end

    # Bound to keys, directly or through `navigation`.

    def toggle(self) -> None:
        """Pause or resume; retry after a failure, begin again at the end."""
        engine = self._connection.engine
        if engine is None:
            if self.state is State.FAILED:
                self.start()
            self._moved = self.state is State.LOADING  # nothing is queued that could be resumed
            self.state = State.PAUSED if self._moved else State.LOADING
        elif self.state in (State.SPEAKING, State.LOADING):
            self.state = State.PAUSED
            self._try(engine.pause)
            self.keep()
        elif self.state is State.ENDED:
            self.go(self.document.sentence_at(0))
        elif self._moved or self.state is State.FAILED:
            self._reconnected = False
            self._read_from(self.span)
        else:
            self.state = State.SPEAKING
            self._try(engine.resume)

    def change_rate(self, steps: int) -> None:
        """Speak faster or slower by a number of steps."""
        self.rate = clamp_rate(self.rate + steps * RATE_STEP)
        self._rate_is_chosen = True
        if self._connection.engine is not None:
            self._try(functools.partial(self._set_rate, self._connection.engine))
        self._notices.append(f"{self.rate} words a minute")

    def go(self, span: Span) -> None:
        """Move to a sentence, and read on from there unless paused."""
        self.span = span
        if self.state is State.PAUSED:
            self._try(self._withdraw)
            self._moved = True
        else:
            self._read_from(span)

    def skip(self, target: Span, step: int) -> bool:
        """Let the engine skip to a sentence of its current utterance; False if it cannot."""
        engine = self._connection.engine
        if engine is None or self.state is not State.SPEAKING or not self._window.contains(target):
            return False
        self.span = target
        self._try(functools.partial(engine.skip, step))
        return True

    def notify(self, notice: str) -> None:
        """Add a message for the reader."""
        self._notices.append(notice)

    # Leading the engine.

    def _try(self, action: Callable[[], None]) -> None:
        """Run an action that the engine may refuse; open another engine if this one is gone."""
        try:
            action()
        except SparkError as error:
            if self._connection.engine is None or self._reconnected:
                self._fail(str(error))
            else:
                self._notices.append(str(error))
                self._reconnect()

    def _reconnect(self) -> None:
        self._reconnected = True
        self._window.starts.clear()
        if self.state is State.PAUSED:
            self._moved = True
        else:
            self.state = State.LOADING
        self.start()

    def _begin(self, engine: SpeechEngine) -> None:
        """Set the rate of a new engine and give it the text, unless paused."""
        if self._rate_is_chosen:
            self._set_rate(engine)
        else:
            self.rate = clamp_rate(round(engine.rate * NORMAL_RATE))
        if self.state is State.PAUSED:
            return
        if self._greeting:
            engine.say(self._greeting, voice=self._voice, now=True)
        self._restart(engine, self.span[0], now=not self._greeting)

    def _set_rate(self, engine: SpeechEngine) -> None:
        engine.rate = self.rate / NORMAL_RATE

    def _handle(self, event: Event) -> None:
        if event.utterance not in self._window.starts:
            return  # of another client, or withdrawn
        if event.kind == "sentence":
            begun = self._window.starts[event.utterance]
            self._window.current = event.utterance
            self._failures, self._reconnected = 0, False
            self.span = begun + event.span[0], begun + event.span[1]
            self._heard.append(self.span)
            if self.state is State.LOADING:
                self.state = State.SPEAKING
        elif event.kind == "end":
            del self._window.starts[event.utterance]
            self._fill()
            if not self._window.starts and self.state is State.SPEAKING:
                self.state = State.ENDED
                self.keep()
        elif event.kind == "stopped":
            self._window.starts.clear()
            if self.state is not State.PAUSED:
                self._notices.append("stopped; space goes on")
            self.state, self._moved = State.PAUSED, True
        elif event.kind == "error":
            self._handle_error(event)

    def _handle_error(self, event: Event) -> None:
        """Pass over one utterance that fails; retry once if the next fails too, then give up."""
        begun = self._window.starts.pop(event.utterance)
        self._failures += 1
        if self._failures > 2:
            self._fail(event.message)
            return
        self._notices.append(event.message)
        if self._failures == 1 and self._window.starts:
            self.span = self.document.sentence_at(max(begun, self.span[0]))
            self._fill()
        else:
            self._read_from(self.span)

    def _fail(self, message: str) -> None:
        self._window.starts.clear()
        self._failures = 0
        self.state = State.FAILED
        self.failure = message
        self._notices.append(f"{message}; space tries again")

    def _withdraw(self) -> None:
        """Stop all that is queued, and resume a paused engine: it may speak for others."""
        engine = self._connection.engine
        if engine is not None and self._window.withdraw(engine) and self.state is State.PAUSED:
            engine.resume()

    def _read_from(self, span: Span) -> None:
        if (engine := self._connection.engine) is not None:
            self._window.starts.clear()
            self._try(functools.partial(self._restart, engine, span[0], now=True))

    def _restart(self, engine: SpeechEngine, position: int, now: bool) -> None:
        self._moved = False
        if self.state is not State.LOADING:
            self.state = State.SPEAKING
        self._window.restart(engine, position, now)

    def _fill(self) -> None:
        if self._connection.engine is not None:
            self._window.fill(self._connection.engine)
