"""Sound written while it comes: samples (N,), part by part → a file, or a wav on a stream."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import soundfile

from spark_mlx.audio.files import FORMATS, Samples, check_ending, write
from spark_mlx.errors import AudioError

_UNKNOWN = 0xFFFFFFFF  # the length of a wav that is not known yet


class WavStream:
    """A wav of 16 bits on a binary stream, each part written at once.

    Its header comes with the first samples, so that an error before them leaves the stream empty.
    It tells the length only where the stream can be sought, at the end; players read any other to
    its end.

    Raises:
        AudioError: the stream cannot be written.
        BrokenPipeError: its reader has left.
    """

    def __init__(self, stream: BinaryIO, rate: int) -> None:
        self._stream = stream
        self._rate = rate
        self._bytes = 0
        self._begun = False

    def __enter__(self) -> WavStream:
        try:
            self._start = self._stream.tell() if self._stream.seekable() else None
        except OSError:  # a pipe
            self._start = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._begun and self._start is not None and not isinstance(error, AudioError):
            self._stream.seek(self._start)
            self._put(self._header(self._bytes))
            self._stream.seek(0, io.SEEK_END)

    def write(self, samples: Samples) -> None:
        if not len(samples):
            return
        if not self._begun:
            self._begun = True
            self._put(self._header(_UNKNOWN))
        pcm = np.rint(np.clip(samples, -1, 1) * np.float32(32767)).astype("<i2").tobytes()
        self._bytes += len(pcm)
        self._put(pcm)

    def _put(self, data: bytes) -> None:
        try:
            self._stream.write(data)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise AudioError(f"cannot write the sound: {error.strerror or error}") from error

    def _header(self, size: int) -> bytes:
        whole = _UNKNOWN if size == _UNKNOWN else 36 + size
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, self._rate, 2 * self._rate, 2, 16)
        return (
            struct.pack("<4sI4s", b"RIFF", whole, b"WAVE")
            + form
            + struct.pack("<4sI", b"data", size)
        )


class WholeFile:
    """A sound file of parts that are kept until the end; its errors are those of `files.write`."""

    def __init__(self, path: str | os.PathLike[str], rate: int) -> None:
        self._path = path
        self._rate = rate
        self._parts: list[Samples] = []

    def __enter__(self) -> WholeFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            write(self._path, np.concatenate(self._parts), self._rate)

    def write(self, samples: Samples) -> None:
        self._parts.append(samples)


class GrowingFile:
    """A sound file written part by part, whole at the end or not there at all.

    Raises:
        AudioError: the ending is unknown, or the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int) -> None:
        check_ending(path)
        self._path = Path(os.path.realpath(path))
        self._part = self._path.parent / f".spark-mlx-{secrets.token_hex(8)}.part"
        self._rate = rate

    def __enter__(self) -> GrowingFile:
        form, encoding = FORMATS[self._path.suffix.lower()]
        with self._checked():
            self._sound = soundfile.SoundFile(self._part, "w", self._rate, 1, encoding, format=form)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with self._checked():
                self._sound.close()
                if error is None:
                    self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def write(self, samples: Samples) -> None:
        clipped = np.clip(samples, -1, 1)
        # In blocks: libsndfile's Vorbis encoder keeps one call's samples on its stack.
        for start in range(0, len(clipped), 65_536):
            with self._checked():
                self._sound.write(clipped[start : start + 65_536])

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except (OSError, soundfile.LibsndfileError, AssertionError) as error:
            # soundfile asserts that all was written.
            raise AudioError(f"cannot write {self._path}: {error or 'the disk is full'}") from error
