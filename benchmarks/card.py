"""A sound card made of a pipe, for scripts that try playback where there is none, on Linux.

ALSA's file plugin plays into it. How fast it is read paces PortAudio, as a card would.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
from pathlib import Path

RATE, FRAME = 16_000, 8  # Hz, and bytes for two channels of float32
_F_SETPIPE_SZ = 1031  # of fcntl.h
_PIPE = 4096  # bytes: 512 frames


class Card:
    """Reads what is played, `speed` times as fast as a sound card would.

    For a process to play into it, `$ALSA_CONFIG_PATH` has to be `config` before it loads PortAudio.

    Args:
        folder: for the pipe and ALSA's configuration.
        keep: whether to keep what was played, in `played`.
        rate: Hz, to which ALSA converts whatever is played, as sound servers do; None is for
            PortAudio at 16 kHz, untouched.

    Attributes:
        frames: how many were played.
    """

    def __init__(
        self, folder: Path, speed: float = 1.0, keep: bool = False, rate: int | None = None
    ) -> None:
        self.frames = 0
        self.played = bytearray()
        self.config = folder / "asound.conf"
        self._speed, self._keep, self._rate = speed, keep, rate or RATE
        os.mkfifo(folder / "card")
        pipe = f'type file slave.pcm {{ type null }} file "{folder / "card"}" format raw'
        if rate is not None:
            pipe = f"type plug slave {{ pcm {{ {pipe} }} rate {rate} channels 2 format FLOAT_LE }}"
        self.config.write_text(f"pcm.!default {{ {pipe} }}\n")
        self._pipe = os.open(folder / "card", os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._pipe, _F_SETPIPE_SZ, _PIPE)
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        os.close(self._pipe)

    def heard(self, part: bytes) -> None:
        """Takes in what was played; called in the thread that reads."""
        self.frames += len(part) // FRAME
        if self._keep:
            self.played += part

    def _read(self) -> None:
        due = 0.0
        while not self._closed:
            if select.select([self._pipe], [], [], 0.05)[0]:
                part = os.read(self._pipe, self._rate // 100 * FRAME)
                self.heard(part)
                length = len(part) / FRAME / self._rate / self._speed
                due = max(due, time.monotonic()) + length
                time.sleep(max(0.0, due - time.monotonic()))
