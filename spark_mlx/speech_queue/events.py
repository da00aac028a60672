"""Events of utterances, and how they reach those who listen. Imports nothing heavy."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """A step of an utterance that the listener has heard, or its end.

    Attributes:
        kind: "begin" (the first sound of the utterance), "sentence" (a sentence begins to be
            heard), or a last one: "end" (all was heard), "stopped", "error".
        utterance: its number, as `SpeechQueue.say` returned it.
        sentence: number of the sentence, counted from 0 where the utterance began; earlier ones,
            to which `skip` can go back, are negative. In a last event: the one heard last.
        text: the sentence in the words of the given text, or "".
        span: its first character in that text and the one after its last.
        time: seconds of this utterance that were heard before.
        message: the failure with "error"; audible faults with "end"; or "".
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
        """Whether this is the utterance's last event."""
        return self.kind in ("end", "stopped", "error")


class Utterance(int):
    """The number of an utterance; iterating over it waits for its events, up to the last."""

    def __new__(cls, number: int) -> Utterance:
        self = super().__new__(cls, number)
        self._events = queue.SimpleQueue()
        return self

    _events: queue.SimpleQueue[Event]

    def put(self, event: Event) -> None:
        """Add an event."""
        self._events.put(event)

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._events.get()
            if event.last:
                self._events.put(event)  # for another iteration
            yield event
            if event.last:
                return


class EventDispatcher:
    """Deliver events to utterances and subscribers, in order, from a thread of its own.

    `tell` only queues, so it may be called with any lock held.
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
        """Register an utterance for the events of its number."""
        with self._lock:
            self._utterances[int(utterance)] = utterance

    def tell(self, event: Event) -> None:
        """Queue an event for delivery."""
        self._events.put(event)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` with every event until the returned function is called."""
        with self._lock:
            number = self._next
            self._next += 1
            self._callbacks[number] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks.pop(number, None)

        return unsubscribe

    def close(self) -> None:
        """Deliver the queued events and end the thread."""
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
                except Exception:  # a fault of one subscriber must not silence the others
                    log.exception("an event could not be delivered to %r", callback)
