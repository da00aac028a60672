"""speech-dispatcher's protocol for output modules: lines on stdin, replies and events on stdout.

bytes ↔ commands with their blocks, replies, events. Knows nothing of speech.
Source: "Communication Protocol for Output Modules" in speech-dispatcher's manual.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]

# What a block may hold, in bytes; a book is less. More is read, and dropped.
LONGEST_BLOCK = 16_000_000
# Bytes of the pipe to the server. It plays what is in there, and a stop has to pass all of it: the
# usual 64 KiB are two seconds of speech.
PIPE = 8192

_READ = 65_536
_ESCAPE = b"\x7d"


class Wire:
    """Both directions, as file descriptors.

    Replies and events come from different threads. Each is written in one go, and a reply goes
    first: the server's whole main thread waits for it.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._unread = b""
        self._turn = threading.Condition()
        self._busy = False
        self._replies = 0  # that wait for their turn
        _narrow(sink)

    def read_line(self) -> str | None:
        """The next line without its end; None when there will be no more."""
        parts = []
        while True:
            line, found, rest = self._unread.partition(b"\n")
            parts.append(line)
            if found:
                self._unread = rest
                return b"".join(parts).decode("utf-8", "replace").removesuffix("\r")
            self._unread = os.read(self._source, _READ)
            if not self._unread:  # a last line without an end was cut off, and is no command
                return None

    def read_block(self) -> list[str] | None:
        """The lines up to one with a lone dot; None when the input ends before it."""
        lines: list[str] = []
        size = 0
        while (line := self.read_line()) is not None:
            if line == ".":
                return lines
            size += len(line) + 1
            if size <= LONGEST_BLOCK:
                # A dot that begins a line is doubled, so that none is taken for the end.
                lines.append(line[1:] if line.startswith("..") else line)
        return None

    def reply(self, *lines: str) -> None:
        """Write an answer to a command."""
        with self._turn:
            self._replies += 1
        try:
            self._write("".join(f"{line}\n" for line in lines).encode(), reply=True)
        finally:
            with self._turn:
                self._replies -= 1
                self._turn.notify_all()

    def begin(self) -> None:
        """Sound begins."""
        self._write(b"701 BEGIN\n")

    def end(self) -> None:
        """The message was spoken to its end."""
        self._write(b"702 END\n")

    def stopped(self) -> None:
        """The message was broken off."""
        self._write(b"703 STOP\n")

    def paused(self) -> None:
        """The message was broken off at the last mark, to be taken up there."""
        self._write(b"704 PAUSE\n")

    def mark(self, name: str) -> None:
        """All sound before a mark is out."""
        # A line end in a name would begin a line of its own.
        self._write(f"700-{' '.join(name.split())}\n700 INDEX MARK\n".encode())

    def icon(self, path: str) -> None:
        """Ask the server to play a sound file."""
        self._write(f"706-{path}\n706 ICON\n".encode())

    def audio(self, samples: Pcm, rate: int) -> None:
        """Samples (N,) at `rate` Hz, for the server to play."""
        header = (
            f"705-bits=16\n705-num_channels=1\n705-sample_rate={rate}\n"
            f"705-num_samples={len(samples)}\n705-big_endian={int(sys.byteorder == 'big')}\n"
            "705-AUDIO\0"
        )
        self._write(header.encode() + escape(samples.tobytes()) + b"\n705 AUDIO\n")

    def _write(self, data: bytes, reply: bool = False) -> None:
        with self._take_turn(reply):
            view = memoryview(data)
            while view:
                view = view[os.write(self._sink, view) :]

    @contextlib.contextmanager
    def _take_turn(self, reply: bool) -> Iterator[None]:
        with self._turn:
            self._turn.wait_for(lambda: not self._busy and (reply or not self._replies))
            self._busy = True
        try:
            yield
        finally:
            with self._turn:
                self._busy = False
                self._turn.notify_all()


def escape(data: bytes) -> bytes:
    """Bytes without a line end in them: it and the escape follow one, with bit 5 flipped."""
    return data.replace(_ESCAPE, _ESCAPE + b"\x5d").replace(b"\n", _ESCAPE + b"\x2a")


def _narrow(pipe: int) -> None:
    """Make a pipe hold little, where the system can."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # it is no pipe
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
