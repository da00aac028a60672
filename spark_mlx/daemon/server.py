"""Serves clients: lines from sockets → what the speaker does, and its events → lines.

One thread, the one that calls `Server.run`, does all input and output and never waits for a
client: what a client does not read waits in a buffer, and when that is full the client is dropped.
Speaking happens in the speaker's threads, which only put down what they tell and wake this one.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from spark_mlx.daemon import protocol
from spark_mlx.daemon.address import Address, peer
from spark_mlx.daemon.protocol import LONGEST_LINE, Request
from spark_mlx.errors import DaemonError, SparkError
from spark_mlx.speech_queue.events import Event
from spark_mlx.speech_queue.service import SpeechQueue, Synthesis
from spark_mlx.version import __version__

log = logging.getLogger(__name__)

MOST_CLIENTS = 64
UNREAD = 4 << 20  # bytes that wait for a client to read them; with more it is dropped
AUDIO_UNREAD = 256 << 10  # with more, speech waits in the speaker, which then waits too
PORTION = 64 << 10  # bytes read at a time, so that every client gets its turn
FAREWELL = 1.0  # seconds, to tell clients what was not spoken


class Server:
    """Lets clients use a speaker.

    Args:
        speaker: is closed at the end.
        address: where to listen; is left open.
        about: more for the answer to "status".
        idle: seconds without clients and speech after which to end; None for never.
    """

    def __init__(
        self,
        speaker: SpeechQueue,
        address: Address,
        about: dict[str, Any] | None = None,
        idle: float | None = None,
    ) -> None:
        self._speaker = speaker
        self._listener = address.socket
        self._about = about or {}
        self._idle = idle
        self._busy = time.monotonic()
        self._stopping = False
        self._clients: dict[int, _Client] = {}  # by file descriptor
        self._owners: dict[int, _Client] = {}  # of utterances that are not over
        self._inbox: deque[Event] = deque()
        self._awake, self.waker = socket.socketpair()  # a byte into `waker` ends a wait
        self._awake.setblocking(False)
        self.waker.setblocking(False)
        self._selector = selectors.DefaultSelector()

    def stop(self) -> None:
        """Ends `run`, soon. Any thread and any signal handler may call it."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Has the thread of `run` look around."""
        with contextlib.suppress(OSError):  # it is awake already, or over
            self.waker.send(b"\0")

    def run(self) -> None:
        """Serves until `stop`, a request, or too long a time without any."""
        unsubscribe = self._speaker.subscribe(self._hear)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._awake, selectors.EVENT_READ)
        try:
            while not self._stopping and not self._idle_for_long():
                for key, mask in self._selector.select(None if self._idle is None else 1.0):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._awake:
                        self._drain_wakes()
                    elif (client := self._clients.get(key.fd)) is not None:
                        self._attend(client, mask)
                self._bring()
        finally:
            self._end(unsubscribe)

    def close(self) -> None:
        """After `run`, and after signals have ceased to write into `waker`."""
        self._awake.close()
        self.waker.close()

    # What the speaker's threads call.

    def _hear(self, event: Event) -> None:
        self._inbox.append(event)
        self.wake()

    # Connections.

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # it has left already, or there are no more descriptors
            log.warning("a client could not connect: %s", error)
            return
        connection.setblocking(False)
        client = _Client(connection)
        if peer(connection) != os.geteuid():
            refusal = DaemonError("this daemon speaks for another user")
        elif len(self._clients) >= MOST_CLIENTS:
            refusal = DaemonError(f"{MOST_CLIENTS} clients are connected already; try again later")
        else:
            self._clients[connection.fileno()] = client
            self._selector.register(connection, selectors.EVENT_READ)
            return
        client.send(protocol.encode(protocol.refusal(refusal)))
        client.flush()
        connection.close()

    def _attend(self, client: _Client, mask: int) -> None:
        """Takes what a client has sent, and does what it asks for."""
        if mask & selectors.EVENT_READ:
            for line in client.receive():
                self._answer(client, line)
        self._settle(client)

    def _settle(self, client: _Client) -> None:
        """Sends a client what it will take now, and drops it when there is no use in more."""
        if client.fd not in self._clients:
            return
        client.fetch_audio()
        client.flush()
        if client.lost or (client.leaving and not client.out):
            self._drop(client)
            return
        mask = 0 if client.leaving else selectors.EVENT_READ
        if client.out:
            mask |= selectors.EVENT_WRITE
        if mask != self._selector.get_key(client.connection).events:
            self._selector.modify(client.connection, mask)

    def _drop(self, client: _Client) -> None:
        del self._clients[client.fd]
        self._selector.unregister(client.connection)
        client.cancel()
        client.connection.close()
        self._owners = {n: owner for n, owner in self._owners.items() if owner is not client}
        for utterance in client.follows:
            self._speaker.stop(utterance)
        self._busy = time.monotonic()

    def _bring(self) -> None:
        """Brings events to their clients, and audio to those who wait for it."""
        while self._inbox:
            event = self._inbox.popleft()
            owner = self._owners.get(event.utterance)
            line = protocol.event_line(event)
            for client in self._clients.values():
                if client is owner or client.watches:
                    client.send(line)
            if event.last:
                self._owners.pop(event.utterance, None)
                if owner is not None:
                    owner.follows.discard(event.utterance)
        for client in list(self._clients.values()):
            self._settle(client)

    def _drain_wakes(self) -> None:
        try:
            while self._awake.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _idle_for_long(self) -> bool:
        if self._idle is None:
            return False
        if self._clients or self._speaker.status()["queued"]:
            self._busy = time.monotonic()
        return time.monotonic() - self._busy >= self._idle

    def _end(self, unsubscribe: Callable[[], None]) -> None:
        """Ends the speech, tells clients so, and leaves them."""
        self._speaker.close()
        unsubscribe()
        self._bring()
        latest = time.monotonic() + FAREWELL
        while any(client.out for client in self._clients.values()) and time.monotonic() < latest:
            self._selector.select(0.05)
            self._bring()
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()

    # Requests.

    def _answer(self, client: _Client, line: bytes) -> None:
        id_: str | int | None = None
        try:
            if len(line) > LONGEST_LINE:
                client.leaving = True
                raise DaemonError(f"a request has at most {LONGEST_LINE:,} bytes; send it in parts")
            request = protocol.parse(line)
            id_ = request.id
            answer = {"ok": True, "id": id_, **self._do(client, request)}
        except SparkError as error:
            answer = protocol.refusal(error, id_)
        except Exception as error:  # one request must not end the speech of all
            log.exception("a request could not be done")
            said = DaemonError(f"the daemon is at fault ({type(error).__name__}: {error})")
            answer = protocol.refusal(said, id_)
        client.send(protocol.encode(answer))

    def _do(self, client: _Client, request: Request) -> dict[str, Any]:
        if "watch" in request.fields:
            client.watches = request.fields["watch"]
        speaker, fields = self._speaker, request.fields
        match request.do:
            case "say":
                return self._say(client, fields)
            case "synthesize":
                return self._synthesize(client, fields)
            case "stop":
                speaker.stop(fields.get("utterance"))
                if fields.get("utterance") is None:
                    client.cancel()
            case "cancel":
                client.cancel()
            case "pause":
                speaker.pause()
            case "resume":
                speaker.resume()
            case "skip":
                speaker.skip(fields["by"])
            case "set":
                return self._set(fields)
            case "watch":
                client.watches = fields.get("watch", True)
            case "status":
                more = {"clients": len(self._clients), "pid": os.getpid(), "version": __version__}
                return {**speaker.status(), **self._about, **more}
            case "voices":
                return {"voices": speaker.voices()}
            case "shutdown":
                self.stop()
        return {}

    def _say(self, client: _Client, fields: dict[str, Any]) -> dict[str, Any]:
        number = self._speaker.say(
            fields["text"],
            voice=fields.get("voice"),
            now=fields.get("mode") == "now",
            start=fields.get("start", 0),
            rate=fields.get("rate"),
        )
        self._owners[int(number)] = client
        if fields.get("follow"):
            client.follows.add(int(number))
        return {"utterance": int(number)}

    def _synthesize(self, client: _Client, fields: dict[str, Any]) -> dict[str, Any]:
        synthesis = self._speaker.synthesize(
            fields["text"], voice=fields.get("voice"), notify=self.wake
        )
        number = client.add(synthesis, lambda: self._speaker.status()["sample_rate"])
        return {"synthesis": number}

    def _set(self, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("rate") is not None:
            self._speaker.rate = fields["rate"]
        if fields.get("volume") is not None:
            self._speaker.volume = fields["volume"]
        return {"rate": self._speaker.rate, "volume": self._speaker.volume}


class _Client:
    """A connection: what came of a line, and what is still to be sent.

    Attributes:
        out: bytes that the client has not taken yet.
        watches: whether it gets the events of all utterances.
        follows: utterances that stop when it leaves.
        leaving: it is left when it has read what waits for it.
        lost: it is gone, or does not read.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.fd = connection.fileno()
        self.out = bytearray()
        self.watches = False
        self.follows: set[int] = set()
        self.leaving = False
        self.lost = False
        self._in = bytearray()
        self._searched = 0  # bytes of `_in` without an end of line
        self._syntheses: dict[int, tuple[Synthesis, Callable[[], int]]] = {}
        self._next = 1

    def receive(self) -> list[bytes]:
        """The lines that have come; a longer one than may be comes as far as it is known."""
        try:
            data = self.connection.recv(PORTION)
        except BlockingIOError:
            return []
        except OSError:
            self.lost = True
            return []
        if not data:
            self.leaving = True
            self.cancel()
            return []
        self._in += data
        lines: list[bytes] = []
        while (end := self._in.find(b"\n", self._searched)) >= 0:
            lines.append(bytes(self._in[:end]))
            del self._in[: end + 1]
            self._searched = 0
        self._searched = len(self._in)
        if len(self._in) > LONGEST_LINE:
            lines.append(bytes(self._in))
            self._in.clear()
            self._searched = 0
        return [line for line in lines if line.strip()]

    def send(self, line: bytes) -> None:
        """Puts a line down for the client; one that reads nothing is lost."""
        if len(self.out) + len(line) > UNREAD:
            log.warning("a client does not read what it is told, and is dropped")
            self.lost = True
        if not self.lost:
            self.out += line

    def flush(self) -> None:
        """Sends what the client takes without waiting."""
        while self.out and not self.lost:
            try:
                sent = self.connection.send(self.out[: 4 * PORTION])
            except BlockingIOError:
                return
            except OSError:
                self.lost = True
                return
            del self.out[:sent]

    def add(self, synthesis: Synthesis, rate: Callable[[], int]) -> int:
        """Takes on a synthesis; its lines are told from others' by the number."""
        number = self._next
        self._next += 1
        self._syntheses[number] = synthesis, rate
        return number

    def cancel(self) -> None:
        """Ends all of its syntheses, and says so."""
        for number, (synthesis, _) in self._syntheses.items():
            synthesis.close()
            self.send(protocol.encode({"event": "stopped", "synthesis": number}))
        self._syntheses.clear()

    def fetch_audio(self) -> None:
        """Takes speech that is ready, while the client keeps up."""
        for number, (synthesis, rate) in list(self._syntheses.items()):
            while len(self.out) < AUDIO_UNREAD:
                try:
                    stretch = synthesis.take()
                except SparkError as error:
                    self._over(number, {"event": "error", **protocol.refusal(error)})
                    break
                if stretch is None:
                    if synthesis.over:
                        self._over(number, {"event": "end"})
                    break
                if len(stretch.samples):
                    pcm = np.clip(np.rint(stretch.samples * 32767), -32768, 32767).astype("<i2")
                    line = {
                        "event": "audio",
                        "synthesis": number,
                        "pcm": base64.b64encode(pcm.tobytes()).decode("ascii"),
                        "rate": rate(),
                        "span": list(synthesis.sentence(stretch)),
                        "sentence": stretch.sentence,
                    }
                    self.send(protocol.encode(line))

    def _over(self, number: int, message: dict[str, Any]) -> None:
        del self._syntheses[number]
        self.send(protocol.encode({**message, "synthesis": number}))
