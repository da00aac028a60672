"""The daemon's server: requests of clients → the speech queue, and its events → clients.

asyncio's event loop does all input and output in the thread that calls `Server.run`, and never
waits for a client. Speech happens in the queue's threads, whose events are handed to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spark_mlx.daemon import protocol
from spark_mlx.daemon.address import Address, peer
from spark_mlx.daemon.protocol import LONGEST_LINE, Request
from spark_mlx.daemon.session import Session
from spark_mlx.errors import DaemonError, SparkError
from spark_mlx.speech_queue.events import Event
from spark_mlx.speech_queue.service import SpeechQueue
from spark_mlx.version import __version__

log = logging.getLogger(__name__)

MAX_CLIENTS = 64
# Clients beyond that may still ask for these, within so many seconds.
ALWAYS = ("stop", "shutdown")
MAX_WAITING, WAITING = 16, 1.0
FAREWELL = 1.0  # seconds, to tell clients what was not spoken
PATIENCE = 10.0  # seconds, for one that has left to read what waits for it


class Server:
    """Let clients use a speech queue.

    Args:
        speech: is closed at the end.
        address: where to listen.
        about: more for the answer to "status".
        idle: seconds without clients and speech after which to end; None for never.
    """

    def __init__(
        self,
        speech: SpeechQueue,
        address: Address,
        about: dict[str, Any] | None = None,
        idle: float | None = None,
    ) -> None:
        self._speech = speech
        self._listener = address.socket
        self._about = about or {}
        self._idle = idle
        self._busy = time.monotonic()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event
        self._sessions: set[Session] = set()
        self._patience = PATIENCE
        self._waiting = 0  # clients beyond MAX_CLIENTS
        self._owners: dict[int, Session] = {}  # of utterances that are not over
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def run(self, signals: Sequence[signal.Signals] = ()) -> None:
        """Serve until `stop`, one of the signals, a request, or too long a time without any.

        When the end has begun, the signals are ignored: it must not be broken off.
        """
        asyncio.run(self._serve(signals))

    def stop(self) -> None:
        """End `run`, soon. Any thread may call it."""
        self._stopping = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is over already
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, signals: Sequence[signal.Signals]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_fault)
        self._stopped = asyncio.Event()
        self._loop = loop
        for number in signals:
            loop.add_signal_handler(number, self._stopped.set)

        def hear(event: Event) -> None:
            loop.call_soon_threadsafe(self._deliver, event)

        unsubscribe = self._speech.subscribe(hear)
        server = await asyncio.start_unix_server(
            self._connected, sock=self._listener, limit=LONGEST_LINE
        )
        try:
            if not self._stopping:
                await self._until_stopped()
        finally:
            # A connection that is being accepted while the server closes would never be closed.
            loop.remove_reader(self._listener)
            await asyncio.sleep(0)
            server.close()
            for number in signals:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)
            self._speech.close()
            unsubscribe()
            await asyncio.sleep(0)  # the last events are delivered
            self._patience = FAREWELL
            tasks = dict(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in tasks.values():  # also of a task that had not begun
                writer.transport.abort()

    async def _until_stopped(self) -> None:
        """Return after `stop`, or a long time without clients and speech."""
        while self._idle is None or not self._idle_for_long():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), None if self._idle is None else 1.0)
                return

    def _idle_for_long(self) -> bool:
        if self._sessions or self._speech.status()["queued"]:
            self._busy = time.monotonic()
        return self._idle is not None and time.monotonic() - self._busy >= self._idle

    # Connections.

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._attend(reader, writer))
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client until it leaves or is dropped."""
        session = Session(reader, writer)
        try:
            if peer(writer.get_extra_info("socket")) != os.geteuid():
                raise DaemonError("this daemon speaks for another user")
            if len(self._sessions) >= MAX_CLIENTS:
                await self._attend_briefly(session)
            else:
                with self._joined(session):
                    async for line in session.lines():
                        session.send(self._answer(session, line))
        except DaemonError as error:
            session.send(protocol.refusal(error))
        except OSError as error:  # on macOS, of a client that has left already
            log.info("a client could not connect: %s", error)
        finally:
            await session.close(self._patience)

    @contextlib.contextmanager
    def _joined(self, session: Session) -> Iterator[None]:
        self._sessions.add(session)
        try:
            yield
        finally:
            self._sessions.discard(session)
            self._owners = {n: owner for n, owner in self._owners.items() if owner is not session}
            for utterance in session.follows:
                self._speech.stop(utterance)
            self._busy = time.monotonic()

    async def _attend_briefly(self, session: Session) -> None:
        """Refuse a client for which there is no room, unless it only wants silence."""
        full = DaemonError(f"{MAX_CLIENTS} clients are connected already; try again later")
        if self._waiting < MAX_WAITING:
            self._waiting += 1
            try:
                line = await asyncio.wait_for(anext(session.lines(), b""), WAITING)
                request = protocol.parse(line)
                if request.do in ALWAYS:
                    session.send(self._answer(session, line))
                    return
            except (SparkError, asyncio.TimeoutError):
                pass  # refused as any other
            finally:
                self._waiting -= 1
        session.send(protocol.refusal(full))

    def _deliver(self, event: Event) -> None:
        """Send an event to the client that it belongs to, and to those who watch."""
        owner = self._owners.get(event.utterance)
        line = protocol.event_line(event)
        for session in self._sessions:
            if session is owner or session.watches:
                session.send_line(line)
        if event.last:
            self._owners.pop(event.utterance, None)
            if owner is not None:
                owner.follows.discard(event.utterance)

    # Requests.

    def _answer(self, session: Session, line: bytes) -> dict[str, Any]:
        id_: str | int | None = None
        try:
            request = protocol.parse(line)
            id_ = request.id
            return {"ok": True, "id": id_, **self._do(session, request)}
        except SparkError as error:
            return protocol.refusal(error, id_)
        except Exception as error:  # one request must not end the speech of all
            log.exception("a request could not be done")
            fault = DaemonError(f"the daemon is at fault ({type(error).__name__}: {error})")
            return protocol.refusal(fault, id_)

    def _do(self, session: Session, request: Request) -> dict[str, Any]:
        speech, fields = self._speech, request.fields
        if "watch" in fields:
            session.watches = fields["watch"]
        match request.do:
            case "say":
                return self._say(session, fields)
            case "synthesize":
                return {"synthesis": session.synthesize(self._synthesize(fields))}
            case "stop":
                speech.stop(fields.get("utterance"))
                if fields.get("utterance") is None:
                    session.cancel()
            case "cancel":
                session.cancel()
            case "pause":
                speech.pause()
            case "resume":
                speech.resume()
            case "skip":
                speech.skip(fields["by"])
            case "set":
                return self._set(fields)
            case "watch":
                session.watches = fields.get("watch", True)
            case "status":
                more = {"clients": len(self._sessions), "pid": os.getpid(), "version": __version__}
                return {**speech.status(), **self._about, **more}
            case "voices":
                return {"voices": speech.voices()}
            case "shutdown":
                self._stopped.set()
        return {}

    def _say(self, session: Session, fields: dict[str, Any]) -> dict[str, Any]:
        number = self._speech.say(
            fields["text"],
            voice=fields.get("voice"),
            now=fields.get("mode") == "now",
            start=fields.get("start", 0),
            rate=fields.get("rate"),
        )
        self._owners[int(number)] = session
        if fields.get("follow"):
            session.follows.add(int(number))
        return {"utterance": int(number)}

    def _synthesize(self, fields: dict[str, Any]) -> Callable[[Callable[[], None]], Any]:
        return lambda notify: self._speech.synthesize(
            fields["text"], voice=fields.get("voice"), notify=notify
        )

    def _set(self, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("rate") is not None:
            self._speech.rate = fields["rate"]
        if fields.get("volume") is not None:
            self._speech.volume = fields["volume"]
        return {"rate": self._speech.rate, "volume": self._speech.volume}


def _log_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a fault of a connection in one line."""
    log.warning("%s (%r)", context.get("message"), context.get("exception"))
