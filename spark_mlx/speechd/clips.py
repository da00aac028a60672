"""Characters and keys that are spoken already.

a text → samples, from memory or from the disk

A folder belongs to one voice of one model. What is kept there are names of characters and keys
only; other short texts, which can be anything a user types, stay in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spark_mlx.paths import write_whole
from spark_mlx.speechd.protocol import Pcm

# Characters of a text that may be a name of a character or key; "left curly bracket" has 18.
LONGEST_NAME = 32
IN_MEMORY = 600
# A clip begins and ends where its sound does: -46 dBFS, with a breath around it.
_QUIET = 164
_BREATH = 0.01


class Clip(NamedTuple):
    """Samples (N,) and their rate in Hz."""

    samples: Pcm
    rate: int


class Clips:
    """The clips of one voice. Safe to use from several threads.

    Args:
        folder: where they are kept; made when there is something to keep.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._clips: OrderedDict[str, Clip] = OrderedDict()

    def get(self, text: str) -> Clip | None:
        """The clip of a text, or None."""
        with self._lock:
            if text in self._clips:
                self._clips.move_to_end(text)
                return self._clips[text]
        clip = _read(self._path(text))
        if clip is not None:
            self._remember(text, clip)
        return clip

    def put(self, text: str, clip: Clip, keep: bool) -> None:
        """Remember a clip, trimmed, and keeps it on the disk as well if that is wanted."""
        clip = Clip(trim(clip.samples, clip.rate), clip.rate)
        self._remember(text, clip)
        if keep:
            # A full disk costs a little time after the next start, and nothing else.
            with contextlib.suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                rate = np.array([clip.rate], dtype="<i4").view("<i2")
                write_whole(
                    self._path(text), np.concatenate([rate, clip.samples]).astype("<i2").tobytes()
                )

    def _remember(self, text: str, clip: Clip) -> None:
        with self._lock:
            self._clips[text] = clip
            self._clips.move_to_end(text)
            while len(self._clips) > IN_MEMORY:
                self._clips.popitem(last=False)

    def _path(self, text: str) -> Path:
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.pcm"


def trim(samples: Pcm, rate: int) -> Pcm:
    """The samples without the silence around them; all of them if there is nothing else."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET)
    if not len(loud):
        return samples
    breath = int(_BREATH * rate)
    return samples[max(0, loud[0] - breath) : loud[-1] + 1 + breath]


def _read(path: Path) -> Clip | None:
    """A kept clip: its rate as 4 bytes, then its samples; None if there is none, or half of one."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) < 6 or len(data) % 2:
        return None
    rate = int(np.frombuffer(data[:4], dtype="<i4")[0])
    if not 1000 <= rate <= 200_000:
        return None
    return Clip(np.frombuffer(data[4:], dtype="<i2").astype(np.int16), rate)
