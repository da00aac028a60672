"""What a speaker tells about its utterances, here or in the daemon. Imports nothing heavy."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """Something a listener has heard, or will not hear.

    Attributes:
        kind: "begin" (the first sound of the utterance), "sentence" (a sentence begins to be
            heard), and one of the last: "end" (all was heard), "stopped", "error".
        utterance: which one; what `Speaker.say` returned.
        sentence: which sentence, counted from 0 where the utterance began; those before it, to
            which `skip` can go back, are negative. Of the last kinds, the one heard last.
        text: the sentence in the words of the text that was given, or "".
        span: its first character in that text and the one after its last.
        time: seconds of speech of this utterance that were heard before.
        message: what went wrong, with "error"; what can be heard to be wrong, with "end"; or "".
    """

    kind: str
    utterance: int
    sentence: int = 0
    text: str = ""
    span: tuple[int, int] = (0, 0)
    time: float = 0.0
    message: str = ""

    @property
    def last(self) -> bool:
        """Whether nothing more comes of this utterance."""
        return self.kind in ("end", "stopped", "error")


class Utterance(int):
    """The number of an utterance; iterating over it waits for its events, up to the last."""

    def __new__(cls, number: int) -> Utterance:
        self = super().__new__(cls, number)
        self._events = queue.SimpleQueue()
        return self

    _events: queue.SimpleQueue[Event]

    def put(self, event: Event) -> None:
        """Adds an event; for whoever speaks."""
        self._events.put(event)

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._events.get()
            if event.last:
                self._events.put(event)  # for whoever iterates again
            yield event
            if event.last:
                return


class Herald:
    """Brings events to those who want them, in order, in a thread of its own.

    So who tells an event never waits for who hears of it, and may hold any lock.
    """

    def __init__(self) -> None:
        self._callbacks: dict[int, Callable[[Event], None]] = {}
        self._utterances: dict[int, Utterance] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spark-mlx events", daemon=True)
        self._thread.start()

    def expect(self, utterance: Utterance) -> None:
        """Events of an utterance will come."""
        with self._lock:
            self._utterances[int(utterance)] = utterance

    def tell(self, event: Event) -> None:
        self._events.put(event)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        with self._lock:
            number = self._next
            self._next += 1
            self._callbacks[number] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks.pop(number, None)

        return unsubscribe

    def close(self) -> None:
        """Ends the thread when all that was told has been brought."""
        self._events.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            with self._lock:
                utterance = self._utterances.get(event.utterance)
                if event.last:
                    self._utterances.pop(event.utterance, None)
                callbacks = list(self._callbacks.values())
            if utterance is not None:
                utterance.put(event)
            for callback in callbacks:
                try:
                    callback(event)
                except Exception:  # the others want to know it still
                    log.exception("an event could not be brought to %r", callback)
