"""The daemon as a speech engine: utterances are tied to this connection and end with it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_mlx.daemon.client import Client
    from spark_mlx.speech_queue.events import Event


class DaemonEngine:
    """A `SpeechEngine` over a client of the daemon; a context manager that closes the client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> DaemonEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    @property
    def rate(self) -> float:
        return self._client.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._client.rate = rate

    def say(self, text: str, *, voice: str | None = None, now: bool = False, start: int = 0) -> int:
        return self._client.say(text, voice=voice, now=now, start=start, follow=True)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        return self._client.subscribe(callback)

    def stop(self, utterance: int | None = None) -> None:
        self._client.stop(utterance)

    def pause(self) -> None:
        self._client.pause()

    def resume(self) -> None:
        self._client.resume()

    def skip(self, sentences: int) -> None:
        self._client.skip(sentences)
