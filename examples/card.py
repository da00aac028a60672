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
    """

    def __init__(self, folder: Path, speed: float = 1.0, keep: bool = False) -> None:
        self.frames = 0
        self.played = bytearray()
        self.config = folder / "asound.conf"
        self._speed, self._keep = speed, keep
        os.mkfifo(folder / "card")
        self.config.write_text(
            "pcm.!default { type file slave.pcm { type null } "
            f'file "{folder / "card"}" format raw }}\n'
        )
        self._pipe = os.open(folder / "card", os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._pipe, _F_SETPIPE_SZ, _PIPE)
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        os.close(self._pipe)

    def _read(self) -> None:
        due = 0.0
        while not self._closed:
            if select.select([self._pipe], [], [], 0.05)[0]:
                part = os.read(self._pipe, RATE // 100 * FRAME)
                count = len(part) // FRAME
                self.frames += count
                if self._keep:
                    self.played += part
                due = max(due, time.monotonic()) + count / RATE / self._speed
                time.sleep(max(0.0, due - time.monotonic()))
