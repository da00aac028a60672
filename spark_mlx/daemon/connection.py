"""A connection to the daemon: lines of JSON in both directions, and speech that comes over one.

Imports neither MLX nor anything that plays sound.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spark_mlx.daemon import protocol
from spark_mlx.daemon.address import dial
from spark_mlx.errors import DaemonError

if TYPE_CHECKING:
    from spark_mlx.audio.time_stretch import Stretch

ANSWER = 10.0  # seconds; the daemon answers at once, unless it is stuck
GONE = "the daemon is gone; start it again with: spark-mlx daemon"


class Connection:
    """A socket as lines of JSON. One thread may send while another receives; any may close it.

    Raises:
        DaemonError: the daemon has closed it already.
    """

    def __init__(self, connected: socket.socket) -> None:
        # A daemon that does not read for this long is stuck.
        seconds = struct.pack("ll", int(ANSWER), 0)
        try:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        except OSError as error:  # on macOS, where the other end is closed already
            connected.close()
            raise DaemonError(GONE) from error
        self._socket = connected
        self._file = connected.makefile("rb")
        self.closed = False

    def send(self, message: dict[str, Any]) -> None:
        """
        Raises:
            DaemonError: the daemon is gone or stuck.
        """
        try:
            self._socket.sendall(protocol.encode(message))
        except OSError as error:
            raise DaemonError(GONE) from error

    def receive(self) -> dict[str, Any] | None:
        """The next line; None when there are no more."""
        try:
            line = self._file.readline()
            if line.endswith(b"\n"):
                found: dict[str, Any] = json.loads(line)
                return found
        except (OSError, ValueError):  # also of a file that another thread has closed
            pass
        return None

    def shut(self) -> None:
        """End a `receive` in another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.shut()
            self._file.close()
            self._socket.close()


class Sound(NamedTuple):
    """Speech that came over a connection.

    Attributes:
        samples: int16 (N,).
        span: place of their sentence in the text.
        sentence: its number.
    """

    samples: NDArray[np.int16]
    span: tuple[int, int]
    sentence: int


class AudioStream:
    """An iterator of `Sound` over a connection of its own, for a caller who plays it.

    Any thread may `close` it, which ends the iteration.

    Args:
        path: the daemon's socket.
        rate: tempo, 0.5 to 3.
        on_rate: told the sample rate.

    Attributes:
        sample_rate: Hz; known when the first sound has come.

    Raises:
        DaemonError: no daemon listens there.
    """

    def __init__(
        self,
        path: Path,
        text: str,
        voice: str | None,
        rate: float = 1.0,
        on_rate: Callable[[int], None] | None = None,
    ) -> None:
        self.sample_rate = 0
        self._rate = rate
        self._on_rate = on_rate
        self._stretch: Stretch | None = None
        self._last: Sound | None = None
        self._accepted = False
        connected = dial(path)
        if connected is None:
            raise DaemonError(GONE)
        self._connection = Connection(connected)
        self._connection.send({"do": "synthesize", "text": text, "voice": absolute(voice)})

    def __iter__(self) -> AudioStream:
        return self

    def __next__(self) -> Sound:
        self.wait_accepted()
        while not self._connection.closed:
            message = self._receive()
            if message is not None and message["event"] == "error":
                self.close()
                raise protocol.error_of(message)
            if message is None or message["event"] != "audio":
                self.close()
                sound = self._rest()
            else:
                sound = self._stretched(message)
            if sound is not None and len(sound.samples):
                return sound
        raise StopIteration

    def __del__(self) -> None:
        self.close()

    def wait_accepted(self) -> None:
        """Wait for the daemon's answer.

        Raises:
            SparkError: the daemon's refusal.
        """
        if self._accepted:
            return
        self._accepted = True
        answer = self._receive()
        if answer is not None and not answer["ok"]:
            self.close()
            raise protocol.error_of(answer)

    def close(self) -> None:
        """Drop the rest."""
        if hasattr(self, "_connection"):
            self._connection.close()

    def _receive(self) -> dict[str, Any] | None:
        """The next line; None after `close`."""
        message = self._connection.receive()
        if message is None and not self._connection.closed:
            self.close()
            raise DaemonError(GONE)
        return message

    def _stretched(self, message: dict[str, Any]) -> Sound:
        """Sound of a line, at the tempo that was asked for."""
        pcm = np.frombuffer(base64.b64decode(message["pcm"]), dtype="<i2").astype(np.int16)
        start, end = message["span"]
        self.sample_rate = int(message["rate"])
        if self._on_rate is not None:
            self._on_rate(self.sample_rate)
        self._last = Sound(pcm, (int(start), int(end)), int(message["sentence"]))
        if self._rate == 1.0:
            return self._last
        if self._stretch is None:
            from spark_mlx.audio.time_stretch import Stretch  # imports files of sound, too

            self._stretch = Stretch(self.sample_rate)
        return self._last._replace(samples=_stretch(self._stretch, pcm, self._rate, False))

    def _rest(self) -> Sound | None:
        """Sound that the stretcher still holds."""
        if self._last is None or self._stretch is None:
            return None
        pcm = _stretch(self._stretch, self._last.samples[:0], self._rate, True)
        return self._last._replace(samples=pcm)


def _stretch(
    stretch: Stretch, pcm: NDArray[np.int16], rate: float, last: bool
) -> NDArray[np.int16]:
    samples = stretch.process((pcm / np.float32(32767)).astype(np.float32), rate, last)
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)


def absolute(voice: str | None) -> str | None:
    """A voice as it is called from any folder: the daemon has another one."""
    if voice is not None and (voice.endswith(".npz") or os.sep in voice):
        return str(Path(voice).absolute())
    return voice
