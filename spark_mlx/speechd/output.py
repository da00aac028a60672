"""Where a message's sound goes: to the server, or to this machine's own device.

samples and marks, in order → the protocol's events
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

import numpy as np

from spark_mlx.speechd.protocol import Pcm, Wire
from spark_mlx.speechd.shaping import silence

if TYPE_CHECKING:
    from spark_mlx.audio.player import Player

# Seconds. How much the server is sent in one event, and so what a stop lets pass at most.
CHUNK = 0.05
# Of silence before the mark at which a message is broken off for a pause. The server queues that
# mark first, and then tells its player to halt there. A player with nothing left to play passes the
# mark in between, and the server is mute for good (0.11.4, and newer ones read alike). It must
# outlast the two periods, of some 20 ms, that a card takes without making anyone wait, and the
# server's own delays: with 0.15 s two pauses of some ninety hung, with 0.5 s none of sixty.
_HALT = 0.5
_ANY_RATE = 16_000  # of a message that is broken off before its first sound, Hz
# How far a device of our own is fed ahead of what is heard, and how often it is looked at.
_FED = 0.5
_TICK = 0.02


class MessageOutput(Protocol):
    """Take one message's sound; `stop` is set when the rest is not wanted."""

    def play(self, samples: Pcm, rate: int, stop: threading.Event) -> None:
        """Take (N,) at `rate` Hz; returns when more can be taken."""

    def mark(self, name: str) -> None:
        """All sound before a mark was given."""

    def halt(self, name: str) -> None:
        """Nothing more comes now: the message is to be taken up again at this mark."""

    def finish(self, stop: threading.Event) -> None:
        """Nothing more comes; returns when all is out, or on a stop."""


class ServerOutput:
    """The server plays. It takes some tenths of a second ahead, then makes us wait."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._begun = False
        self._rate = _ANY_RATE

    def play(self, samples: Pcm, rate: int, stop: threading.Event) -> None:
        self._begin()
        self._rate = rate
        step = max(1, int(rate * CHUNK))
        for start in range(0, len(samples), step):
            if stop.is_set():
                return
            self._wire.audio(samples[start : start + step], rate)

    def mark(self, name: str) -> None:
        self._begin()
        self._wire.mark(name)

    def halt(self, name: str) -> None:
        self._begin()
        self._wire.audio(silence(self._rate, _HALT), self._rate)
        self._wire.mark(name)

    def finish(self, stop: threading.Event) -> None:
        self._begin()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._wire.begin()


class OwnDevice:
    """This machine's default output device, opened when it is first needed and then kept open."""

    def __init__(self) -> None:
        self._player: Player | None = None
        self._rate = 0

    @staticmethod
    def check() -> None:
        """
        Raises:
            PlaybackError: there is no device.
        """
        from spark_mlx.audio.playback import portaudio

        portaudio.output()

    def player(self, rate: int) -> Player:
        """An open player of samples at `rate` Hz.

        Raises:
            PlaybackError: there is none.
        """
        if self._player is None or self._rate != rate:
            # Not above: the server plays nearly always, and then PortAudio is not needed.
            from spark_mlx.audio.player import Player

            self.close()
            player = Player(rate)
            player.__enter__()
            self._player, self._rate = player, rate
        return self._player

    def close(self) -> None:
        """Let the device go, at once."""
        if self._player is not None:
            player, self._player = self._player, None
            player.stop()
            player.__exit__(None, None, None)


class DeviceOutput:
    """We play, for a server that does not. Marks are told of when they are heard."""

    def __init__(self, wire: Wire, device: OwnDevice) -> None:
        self._wire = wire
        self._device = device
        self._player: Player | None = None
        self._begun = False
        self._written = 0.0  # seconds, of the player's clock
        self._marks: deque[tuple[float, str]] = deque()

    def play(self, samples: Pcm, rate: int, stop: threading.Event) -> None:
        if not len(samples):
            return
        if self._player is None:
            self._player = self._device.player(rate)
            self._written = self._player.position
        self._begin()
        self._player.write(samples.astype(np.float32) / 32768)
        self._written += len(samples) / rate
        self._wait(self._written - _FED, stop)

    def mark(self, name: str) -> None:
        self._begin()
        self._marks.append((self._written, name))
        self._tell()

    def halt(self, name: str) -> None:
        self.mark(name)

    def finish(self, stop: threading.Event) -> None:
        self._begin()
        if self._player is not None:
            # The last tenths are only given out once the player knows that nothing follows.
            self._wait(self._written - _FED / 2, stop)
            if not stop.is_set():
                self._player.drain()
            else:
                self._player.stop()
        if not stop.is_set():
            while self._marks:
                self._wire.mark(self._marks.popleft()[1])

    def _wait(self, until: float, stop: threading.Event) -> None:
        """Tell of marks until the player has come so far."""
        while self._player is not None and self._player.position < until:
            self._tell()
            if stop.wait(_TICK):
                return
        self._tell()

    def _tell(self) -> None:
        heard = float("-inf") if self._player is None else self._player.position
        while self._marks and (self._player is None or self._marks[0][0] <= heard):
            self._wire.mark(self._marks.popleft()[1])

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._wire.begin()
