"""Speaks through the daemon, with the methods of `SpeechQueue`: calls → lines → events.

Imports neither MLX nor anything that plays sound: a client is ready at once.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spark_mlx.daemon import protocol
from spark_mlx.daemon.address import default_path, dial
from spark_mlx.errors import DaemonError
from spark_mlx.speech_queue.events import Event, EventDispatcher, Utterance

if TYPE_CHECKING:
    from spark_mlx.audio.time_stretch import Stretch

ANSWER = 10.0  # seconds; the daemon answers at once, unless it is stuck

Sound = tuple[NDArray[np.int16], tuple[int, int], int]  # samples, span, sentence


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

    Every method raises what the daemon's refusal was, and DaemonError when the daemon is gone. An
    utterance whose daemon goes away ends with an "error" event.

    Attributes:
        sample_rate: Hz, of what `synthesize` gives; known when the first of it has come.
    """

    def __init__(self, connection: socket.socket, path: Path) -> None:
        self.sample_rate = 0
        self._path = path
        self._lines = _Lines(connection)
        self._herald = EventDispatcher()
        # Around what follows, and around sending. Reentrant, since a `_Sounds` may be collected
        # anywhere, and leaves then.
        self._lock = threading.RLock()
        self._waiting: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._gone: DaemonError | None = None
        self._syntheses: set[_Lines] = set()
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
        """Leaves. What was said with `follow` stops, as does `synthesize`; the rest goes on."""
        with self._lock:
            self._gone = self._gone or DaemonError("this client has left the daemon")
            for lines in [self._lines, *self._syntheses]:
                lines.shut()
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
        fields = {"text": text, "voice": _absolute(voice), "start": start, "rate": rate}
        answer = self._ask("say", mode="now" if now else "queue", follow=follow, **fields)
        utterance: Utterance = answer["utterance"]
        return utterance

    def synthesize(
        self, text: str, voice: str | None = None, rate: float | None = None
    ) -> Iterator[Sound]:
        """The speech of a text, to be played by the caller: samples (N,) int16, the span of their
        sentence, and its number. Closing the iterator, or the client, ends it."""
        connection = dial(self._path)
        if connection is None:
            raise DaemonError(_GONE)
        lines = _Lines(connection)
        with self._lock:
            if self._gone is not None:
                lines.close()
                raise self._gone
            self._syntheses.add(lines)
        try:
            lines.send({"do": "synthesize", "text": text, "voice": _absolute(voice)})
            answer = lines.receive()
            if answer is None:
                raise DaemonError(_GONE)
            if not answer["ok"]:
                raise protocol.error_of(answer)
        except BaseException:
            self._leave(lines)
            raise
        return _Sounds(self, lines, 1.0 if rate is None else rate, self._leave)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """As `SpeechQueue.subscribe`: the events of all utterances, also those of other clients."""
        unsubscribe = self._herald.subscribe(callback)
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
        """Ends the daemon; returns when it has let this client go."""
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

    def _ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Sends a request and waits for its answer."""
        given = {name: value for name, value in fields.items() if value is not None}
        with self._lock:
            if self._gone is not None:
                raise self._gone
            waiting = _Answer(do)
            self._waiting.put(waiting)
            # If it cannot be sent, the reader learns why: from what the daemon said last.
            with contextlib.suppress(DaemonError):
                self._lines.send({"do": do, **given})
        if not waiting.came.wait(ANSWER):
            raise DaemonError(f"the daemon has not answered for {ANSWER:g} s; start it again")
        if waiting.answer is None:
            raise self._gone or DaemonError(_GONE)
        if not waiting.answer["ok"]:
            raise protocol.error_of(waiting.answer)
        return waiting.answer

    # In the reader's thread.

    def _read(self) -> None:
        """Hands out answers and events until the daemon or the client leaves."""
        said: set[int] = set()
        with contextlib.suppress(OSError, ValueError, KeyError):
            while (message := self._lines.receive()) is not None:
                if "event" not in message:
                    try:
                        waiting = self._waiting.get_nowait()
                    except queue.Empty:  # a refusal that nothing was asked for
                        self._gone = DaemonError(str(message.get("error")))
                        break
                    if message["ok"] and waiting.do == "say":
                        utterance = message["utterance"] = Utterance(message["utterance"])
                        self._herald.expect(utterance)
                        said.add(int(utterance))
                    waiting.give(message)
                elif "utterance" in message:
                    event = protocol.event_of(message)
                    if event.last:
                        said.discard(event.utterance)
                    self._herald.tell(event)
        with self._lock:
            self._gone = self._gone or DaemonError(_GONE)
            self._lines.close()
            with contextlib.suppress(queue.Empty):
                while True:
                    self._waiting.get_nowait().give(None)
        for number in sorted(said):
            self._herald.tell(Event("error", number, message=str(self._gone)))
        self._herald.close()

    def _leave(self, lines: _Lines) -> None:
        with self._lock:
            self._syntheses.discard(lines)
        lines.close()


_GONE = "the daemon is gone; start it again with: spark-mlx daemon"


class _Answer:
    """A request that was sent, and what came of it."""

    def __init__(self, do: str) -> None:
        self.do = do
        self.came = threading.Event()
        self.answer: dict[str, Any] | None = None

    def give(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer
        self.came.set()


class _Sounds:
    """An iterator over the audio lines of a connection of its own."""

    def __init__(
        self, client: Client, lines: _Lines, rate: float, leave: Callable[[_Lines], None]
    ) -> None:
        self._client = client
        self._lines = lines
        self._rate = rate
        self._leave = leave
        self._stretch: Stretch | None = None
        self._last: Sound | None = None

    def __iter__(self) -> _Sounds:
        return self

    def __next__(self) -> Sound:
        while not self._lines.closed:
            try:
                message = self._lines.receive()
                if message is None and self._client._gone is None:
                    raise DaemonError(_GONE)
                if message is not None and message["event"] == "error":
                    raise protocol.error_of(message)
            except BaseException:
                self.close()
                raise
            if message is None or message["event"] != "audio":
                self.close()
                sound = self._stretched(None)
            else:
                sound = self._stretched(message)
            if sound is not None and len(sound[0]):
                return sound
        raise StopIteration

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Nobody wants the rest."""
        self._leave(self._lines)

    def _stretched(self, message: dict[str, Any] | None) -> Sound | None:
        """The sound of a line at the tempo that was asked for; of None, what was held back."""
        if message is not None:
            pcm = np.frombuffer(base64.b64decode(message["pcm"]), dtype="<i2").astype(np.int16)
            start, end = message["span"]
            self._client.sample_rate = int(message["rate"])
            self._last = pcm, (int(start), int(end)), int(message["sentence"])
        if self._last is None or self._rate == 1.0:
            return self._last if message is not None else None
        if self._stretch is None:
            from spark_mlx.audio.time_stretch import Stretch  # it knows files of sound, too

            self._stretch = Stretch(self._client.sample_rate)
        pcm, span, sentence = self._last
        given = (pcm[: 0 if message is None else None] / np.float32(32767)).astype(np.float32)
        samples = self._stretch.process(given, self._rate, message is None)
        pcm = np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)
        return pcm, span, sentence


class _Lines:
    """A socket as lines of JSON. One thread may send while another receives."""

    def __init__(self, connection: socket.socket) -> None:
        # Whoever does not read for this long is stuck.
        seconds = struct.pack("ll", int(ANSWER), 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        self._connection = connection
        self._file = connection.makefile("rb")
        self.closed = False

    def send(self, message: dict[str, Any]) -> None:
        try:
            self._connection.sendall(protocol.encode(message))
        except OSError as error:
            raise DaemonError(_GONE) from error

    def receive(self) -> dict[str, Any] | None:
        """The next line; None when there are no more."""
        try:
            line = self._file.readline()
        except (OSError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        found: dict[str, Any] = json.loads(line)
        return found

    def shut(self) -> None:
        """Ends a `receive` in another thread."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._file.close()
            self._connection.close()


def _absolute(voice: str | None) -> str | None:
    """A voice as it is called from any folder: the daemon has another one."""
    if voice is not None and (voice.endswith(".npz") or os.sep in voice):
        return str(Path(voice).absolute())
    return voice
