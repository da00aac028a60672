"""A stand-in for `player.Player`: the same contract, and nothing to hear."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import numpy as np

from spark_mlx.errors import PlaybackError


class Stand:
    """Plays in time, `SPEED` times as fast as a real one."""

    SPEED = 20.0
    opened: list[Stand]

    def __init__(
        self,
        sample_rate: int,
        *,
        device: str | int | None = None,
        volume: float = 1,
        rate: float = 1,
    ) -> None:
        self.sample_rate = sample_rate
        self.device = device
        self.volume = volume
        self.rate = rate
        self.blocks: list[np.ndarray] = []
        self.events: list[str] = []
        self.underruns = self.waits = 0
        self.paused = False
        self._begun = 0.0
        self._stopped = False
        if device == "nowhere":
            raise PlaybackError("there is no output device 'nowhere'; there are 0: speaker")

    def __enter__(self) -> Stand:
        type(self).opened.append(self)
        self.events.append("open")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.events.append("close")

    @property
    def written(self) -> float:
        return sum(map(len, self.blocks)) / self.sample_rate

    @property
    def position(self) -> float:
        if not self.blocks:
            return 0.0
        return min(self.written, (time.monotonic() - self._begun) * self.SPEED * self.rate)

    def write(self, samples: np.ndarray) -> None:
        assert samples.dtype == np.float32
        assert len(samples)
        if not self.blocks:
            self._begun = time.monotonic()
        self.blocks.append(samples)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def stop(self) -> None:
        """Drop what was not heard."""
        if self.position < self.written and not self._stopped:
            self.events.append("stop")
            self._stopped = True

    def drain(self) -> None:
        while self.position < self.written and not self._stopped:
            time.sleep(0.002)


def install(monkeypatch: Any) -> list[Stand]:
    """Puts the stand-in in the player's place; gives the list of those that are opened."""
    from spark_mlx.audio import player
    from spark_mlx.audio.playback import portaudio

    Stand.opened = []
    monkeypatch.setattr(player, "Player", Stand)
    monkeypatch.setattr(portaudio, "output", lambda *_: {})
    return Stand.opened
