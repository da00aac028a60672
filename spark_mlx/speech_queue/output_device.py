"""The output device of the speech queue: opened when there is speech, and found again when gone."""

from __future__ import annotations

import contextlib
import time

from spark_mlx.audio import player
from spark_mlx.audio.playback import portaudio
from spark_mlx.audio.player import Player
from spark_mlx.errors import PlaybackError

RESTART = 2.0  # seconds between two searches for a device where there was none


class OutputDevice:
    """Open and close players on one device.

    Args:
        device: as of `Player`; None for the default one.
    """

    def __init__(self, device: str | int | None) -> None:
        self._device = device
        self._opened = contextlib.ExitStack()
        self._searched = -RESTART

    def open(self, sample_rate: int) -> Player:
        """Open a player.

        Raises:
            PlaybackError: there is no device, or it does not play.
        """
        try:
            return self._opened.enter_context(player.Player(sample_rate, device=self._device))
        except PlaybackError:
            if time.monotonic() - self._searched < RESTART:
                raise
        # PortAudio only knows the devices that there were when it was started.
        self._searched = time.monotonic()
        portaudio.restart()
        return self._opened.enter_context(player.Player(sample_rate, device=self._device))

    def close(self) -> None:
        """Close what is open, whatever state it is in."""
        with contextlib.suppress(PlaybackError):
            self._opened.close()
