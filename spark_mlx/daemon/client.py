"""Speak through the daemon, with the methods of `SpeechQueue`: calls → lines → events.

Imports neither MLX nor anything that plays sound: a client is ready at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from spark_mlx.daemon import protocol
from spark_mlx.daemon.address import default_path, dial
from spark_mlx.daemon.connection import ANSWER, GONE, AudioStream, Connection, Sound, absolute
from spark_mlx.errors import DaemonError
from spark_mlx.speech_queue.events import Event, EventDispatcher, Utterance


def connect(path: str | os.PathLike[str] | None = None) -> Client | None:
    """A client of the daemon at `path` (the default socket), or None when none runs.

    Raises:
        DaemonError: another user listens there, or the daemon does not answer.
    """
    found = default_path() if path is None else Path(path)
    connection = dial(found)
    return None if connection is None else Client(connection, found)


class Client:
    """A connection to the daemon; a context manager. Any thread may call its methods.

        with connect() as client:
            for event in client.say("Hello. How are you?"):
                print(event.kind, event.text)

    Every method raises the daemon's refusal, and DaemonError when the daemon is gone. An
    utterance whose daemon goes away ends with an "error" event.

    Attributes:
        sample_rate: Hz, of the samples of `synthesize`; known when the first have come.
    """

    def __init__(self, connection: socket.socket, path: Path) -> None:
        self.sample_rate = 0
        self._path = path
        self._connection = Connection(connection)
        self._events = EventDispatcher()
        self._lock = threading.Lock()  # around what follows, and around sending
        self._waiting: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._gone: DaemonError | None = None
        self._streams: weakref.WeakSet[AudioStream] = weakref.WeakSet()
        self._watching = False
        self._reader = threading.Thread(target=self._read, name="spark-mlx client", daemon=True)
        self._reader.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave. Utterances said with `follow` stop, as does `synthesize`; the rest goes on."""
        with self._lock:
            self._gone = self._gone or DaemonError("this client has left the daemon")
            streams = list(self._streams)
            self._connection.shut()
        for stream in streams:
            stream.close()
        if threading.current_thread() is not self._reader:
            self._reader.join(ANSWER)

    def say(
        self,
        text: str,
        *,
        voice: str | None = None,
        now: bool = False,
        start: int = 0,
        rate: float | None = None,
        follow: bool = False,
    ) -> Utterance:
        """As `SpeechQueue.say`. With `follow` the speech stops when this client leaves or dies."""
        fields = {"text": text, "voice": absolute(voice), "start": start, "rate": rate}
        answer = self._ask("say", mode="now" if now else "queue", follow=follow, **fields)
        utterance: Utterance = answer["utterance"]
        return utterance

    def synthesize(
        self, text: str, voice: str | None = None, rate: float | None = None
    ) -> Iterator[Sound]:
        """Speech of a text for a caller who plays it: samples (N,) int16, the span of their
        sentence, and its number. Closing the iterator, or the client, ends it."""
        stream = AudioStream(self._path, text, voice, 1.0 if rate is None else rate, self._set_rate)
        with self._lock:
            if self._gone is not None:
                stream.close()
                raise self._gone
            self._streams.add(stream)
        stream.wait_accepted()
        return stream

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """As `SpeechQueue.subscribe`: the events of all utterances, also those of other clients."""
        unsubscribe = self._events.subscribe(callback)
        if not self._watching:
            self._ask("watch")
            self._watching = True
        return unsubscribe

    def stop(self, utterance: int | None = None) -> None:
        """As `SpeechQueue.stop`."""
        self._ask("stop", utterance=utterance)

    def pause(self) -> None:
        """As `SpeechQueue.pause`."""
        self._ask("pause")

    def resume(self) -> None:
        """As `SpeechQueue.resume`."""
        self._ask("resume")

    def skip(self, sentences: int) -> None:
        """As `SpeechQueue.skip`."""
        self._ask("skip", by=sentences)

    def status(self) -> dict[str, Any]:
        """As `SpeechQueue.status`, and `model` (its folder), `voice` (of texts that name none, or
        None), `clients`, `pid` and `version`."""
        answer = self._ask("status")
        return {name: value for name, value in answer.items() if name not in ("ok", "id")}

    def voices(self) -> list[str]:
        """As `SpeechQueue.voices`."""
        return list(self._ask("voices")["voices"])

    def shutdown(self) -> None:
        """End the daemon; return when it has let this client go."""
        self._ask("shutdown")
        self._reader.join(ANSWER)

    @property
    def rate(self) -> float:
        """As `SpeechQueue.rate`, for all clients."""
        return float(self.status()["rate"])

    @rate.setter
    def rate(self, rate: float) -> None:
        self._ask("set", rate=rate)

    @property
    def volume(self) -> float:
        """As `SpeechQueue.volume`, for all clients."""
        return float(self.status()["volume"])

    @volume.setter
    def volume(self, volume: float) -> None:
        self._ask("set", volume=volume)

    def _set_rate(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def _ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        given = {name: value for name, value in fields.items() if value is not None}
        with self._lock:
            if self._gone is not None:
                raise self._gone
            waiting = _Answer(do)
            self._waiting.put(waiting)
            # If it cannot be sent, the reader learns why: from what the daemon said last.
            with contextlib.suppress(DaemonError):
                self._connection.send({"do": do, **given})
        if not waiting.came.wait(ANSWER):
            raise DaemonError(f"the daemon has not answered for {ANSWER:g} s; start it again")
        if waiting.answer is None:
            raise self._gone or DaemonError(GONE)
        if not waiting.answer["ok"]:
            raise protocol.error_of(waiting.answer)
        return waiting.answer

    # In the reader's thread.

    def _read(self) -> None:
        """Hand out answers and events until the daemon or the client leaves."""
        said: set[int] = set()
        with contextlib.suppress(KeyError):
            while (message := self._connection.receive()) is not None:
                if "event" not in message:
                    try:
                        waiting = self._waiting.get_nowait()
                    except queue.Empty:  # a refusal without a request
                        self._gone = DaemonError(str(message.get("error")))
                        break
                    if message["ok"] and waiting.do == "say":
                        utterance = message["utterance"] = Utterance(message["utterance"])
                        self._events.expect(utterance)
                        said.add(int(utterance))
                    waiting.give(message)
                elif "utterance" in message:
                    event = protocol.event_of(message)
                    if event.last:
                        said.discard(event.utterance)
                    self._events.tell(event)
        with self._lock:
            self._gone = self._gone or DaemonError(GONE)
            self._connection.close()
            with contextlib.suppress(queue.Empty):
                while True:
                    self._waiting.get_nowait().give(None)
        for number in sorted(said):
            self._events.tell(Event("error", number, message=str(self._gone)))
        self._events.close()


class _Answer:
    """A request that was sent, and its answer."""

    def __init__(self, do: str) -> None:
        self.do = do
        self.came = threading.Event()
        self.answer: dict[str, Any] | None = None

    def give(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer
        self.came.set()
