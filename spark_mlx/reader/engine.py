"""The speech engine that a reading drives: its interface, its states, and the rates it takes."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spark_mlx.speech_queue.events import Event

NORMAL_RATE = 180  # words a minute, at the voice's own speed
MIN_RATE, MAX_RATE = 90, 540
RATE_STEP = 20


class SpeechEngine(Protocol):
    """Interface shared by the speech queue of this process and the daemon's client.

    Utterances are queued in order and answered by events with their number; `now=True` drops the
    queue first, `start` begins inside the text.
    """

    @property
    def rate(self) -> float: ...
    @rate.setter
    def rate(self, rate: float) -> None: ...
    def say(
        self, text: str, *, voice: str | None = None, now: bool = False, start: int = 0
    ) -> int: ...
    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]: ...
    def stop(self, utterance: int | None = None) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def skip(self, sentences: int) -> None: ...


OpenEngine = Callable[[], AbstractContextManager[SpeechEngine]]


class State(enum.Enum):
    """State of a reading; the value is the text the views show."""

    LOADING = "loading the voice"
    SPEAKING = "speaking"
    PAUSED = "paused"
    ENDED = "at the end"
    FAILED = "cannot speak"


def clamp_rate(rate: int) -> int:
    """Limit words a minute to the rates an engine takes."""
    return min(MAX_RATE, max(MIN_RATE, rate))
