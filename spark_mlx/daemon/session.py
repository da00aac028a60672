"""One client of the daemon: its buffer of unread lines, its utterances and its syntheses."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np

from spark_mlx.daemon import protocol
from spark_mlx.daemon.protocol import LONGEST_LINE
from spark_mlx.errors import DaemonError, SparkError
from spark_mlx.speech import Chunk
from spark_mlx.speech_queue.synthesis import Synthesis

log = logging.getLogger(__name__)

UNREAD = 4 << 20  # bytes that wait for a client to read them; with more it is dropped
AUDIO_UNREAD = 256 << 10  # with more, speech waits in the queue, and synthesis waits too

# Synthesizes a text, given what to call when there is more.
Synthesize = Callable[[Callable[[], None]], Synthesis]


class Session:
    """A connected client.

    Attributes:
        watches: whether it gets the events of all utterances.
        follows: utterances that stop when it leaves.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.watches = False
        self.follows: set[int] = set()
        self._reader = reader
        self._writer = writer
        self._transport: asyncio.WriteTransport = writer.transport
        self._transport.set_write_buffer_limits(high=AUDIO_UNREAD)
        self._syntheses: dict[int, tuple[Synthesis, asyncio.Task[None]]] = {}
        self._next = 1

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines that come, until the client leaves.

        Raises:
            DaemonError: a line is longer than any request.
        """
        while not self._transport.is_closing():
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as error:
                raise DaemonError(
                    f"a request has at most {LONGEST_LINE:,} bytes; send it in parts"
                ) from error
            except (asyncio.IncompleteReadError, OSError):
                return
            if line.strip():
                yield line[:-1]
            await asyncio.sleep(0)  # a heap of requests must not keep other clients waiting

    def send(self, message: dict[str, Any]) -> None:
        """Send a message when the client reads it; drop a client that reads nothing."""
        self.send_line(protocol.encode(message))

    def send_line(self, line: bytes) -> None:
        """Send a line that is encoded already."""
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() + len(line) > UNREAD:
            log.warning("a client does not read what it is sent, and is dropped")
            self._transport.abort()
            return
        self._writer.write(line)

    def synthesize(self, begin: Synthesize) -> int:
        """Begin a synthesis; its number tells its lines from others."""
        more = asyncio.Event()
        loop = asyncio.get_running_loop()

        def notify() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(more.set)

        synthesis = begin(notify)
        number = self._next
        self._next += 1
        task = loop.create_task(self._send_speech(number, synthesis, more))
        self._syntheses[number] = synthesis, task
        return number

    def cancel(self) -> None:
        """End all of its syntheses, and say so."""
        for number, (synthesis, task) in self._syntheses.items():
            synthesis.close()
            task.cancel()
            self.send({"event": "stopped", "synthesis": number})
        self._syntheses.clear()

    async def close(self, patience: float) -> None:
        """Leave the client when it has read what waits for it, or after so many seconds."""
        self.cancel()
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), patience)
        except (asyncio.TimeoutError, OSError):
            pass  # it does not read, or is gone
        finally:
            self._transport.abort()

    async def _send_speech(self, number: int, synthesis: Synthesis, more: asyncio.Event) -> None:
        """Send chunks while the client keeps up."""
        end: dict[str, Any] = {"event": "end"}
        try:
            while True:
                more.clear()
                chunk = synthesis.take()
                if chunk is not None:
                    if len(chunk.samples):
                        self.send(_audio(number, chunk, synthesis))
                        await self._writer.drain()
                elif synthesis.over:
                    break
                else:
                    await more.wait()
        except OSError:  # the client is gone
            return
        except SparkError as error:
            end = {"event": "error", **protocol.refusal(error)}
        del self._syntheses[number]
        self.send({**end, "synthesis": number})


def _audio(number: int, chunk: Chunk, synthesis: Synthesis) -> dict[str, Any]:
    pcm = np.clip(np.rint(chunk.samples * 32767), -32768, 32767).astype("<i2")
    return {
        "event": "audio",
        "synthesis": number,
        "pcm": base64.b64encode(pcm.tobytes()).decode("ascii"),
        "rate": chunk.sample_rate,
        "span": list(synthesis.sentence(chunk)),
        "sentence": chunk.sentence,
    }
