"""What a reading needs of a speaker, and what it can be doing."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spark_mlx.speech_queue.events import Event

NORMAL_RATE = 180  # words a minute, at the voice's own speed
SLOWEST, FASTEST = 90, 540
RATE_STEP = 20


class Speaker(Protocol):
    """What is needed of `spark_mlx.speech_queue.service.Speaker`, and of the daemon's client."""

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


Connect = Callable[[], AbstractContextManager[Speaker]]


class State(enum.Enum):
    """What a reading is doing, as it is shown."""

    LOADING = "loading the voice"
    SPEAKING = "speaking"
    PAUSED = "paused"
    ENDED = "at the end"
    FAILED = "cannot speak"


def allowed(rate: int) -> int:
    """The nearest rate that speech can have."""
    return min(FASTEST, max(SLOWEST, rate))
