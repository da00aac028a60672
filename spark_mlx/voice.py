"""A saved voice: the tokens a codec made of a speaker, and where they came from.

In memory a frozen dataclass, on disk an .npz that loads without pickle:

    meta             a 0-d unicode array of JSON: the format version and all that is not tokens
    global_tokens    int32 (G,): who speaks
    semantic_tokens  int32 (T,): what the recording says; present when its transcript is
"""

from __future__ import annotations

import datetime
import errno
import io
import json
import math
import os
import reprlib
import stat
import struct
import zipfile
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spark_mlx.errors import VoiceError
from spark_mlx.paths import write_whole

Tokens: TypeAlias = npt.NDArray[np.int32]

VOICE_FORMAT = 1
ORIGINS = ("cloned", "created")
# A minute of semantic tokens is 12 kB, so what is bigger than this (in bytes) is no voice.
LARGEST = 4_000_000
# Semantic tokens of 80 s, above the longest clip; more would take minutes before the first sound.
MAX_SEMANTIC = 4000
_MAX_GLOBAL = 4096
_ARRAYS = {"meta.npy", "global_tokens.npy", "semantic_tokens.npy"}
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy writes no others
# Errors of zipfile, zlib, numpy and json on damaged bytes. RuntimeError covers an encrypted member,
# an unknown compression and JSON nested too deeply; SyntaxError and others an array's header.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What a created voice was asked for (labels), and what the model answered (values)."""

    gender: str
    pitch: str
    speed: str
    pitch_value: int
    speed_value: int

    def __post_init__(self) -> None:
        for text in ("gender", "pitch", "speed"):
            _expect(isinstance(getattr(self, text), str), f"{text} is not text")
        for number in ("pitch_value", "speed_value"):
            value = getattr(self, number)
            _expect(
                isinstance(value, int) and value >= 0,
                f"{number} is {reprlib.repr(value)}, not a count",
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Voice:
    """Someone to speak as. Two voices are equal when everything in them is.

    Attributes:
        name: what the voice is called.
        global_tokens: int32 (G,), read-only; any integer array is taken.
        codec: fingerprint of the codec whose tokens these are.
        origin: "cloned" from a recording or "created" from attributes.
        source: the recording's file name, or a description.
        semantic_tokens: int32 (T,), read-only; None when there is no transcript.
        transcript: what the recording says.
        attributes: of a created voice.
        consent: who agreed to this voice being used; may be empty.
        created: ISO date, today unless given.

    Raises:
        VoiceError: a field is of the wrong type or shape, a token is negative, or only one of
            transcript and semantic_tokens is there.
    """

    name: str
    global_tokens: Tokens
    codec: str
    origin: str
    source: str
    semantic_tokens: Tokens | None = None
    transcript: str | None = None
    attributes: Attributes | None = None
    consent: str = ""
    created: str = field(default_factory=lambda: datetime.date.today().isoformat())

    def __post_init__(self) -> None:
        for text in ("name", "codec", "origin", "source", "consent", "created"):
            _expect(isinstance(getattr(self, text), str), f"{text} is not text")
        _expect(
            self.transcript is None or isinstance(self.transcript, str),
            "transcript is not text",
        )
        _expect(
            self.origin in ORIGINS,
            f"origin is {reprlib.repr(self.origin)}, not {' or '.join(ORIGINS)}",
        )
        _expect(
            _is_date(self.created), f"date is {reprlib.repr(self.created)}, not like 2025-01-31"
        )
        _expect(
            (self.transcript is None) == (self.semantic_tokens is None),
            "transcript and semantic tokens belong together, but one is missing",
        )
        object.__setattr__(
            self, "global_tokens", _tokens(self.global_tokens, "global", _MAX_GLOBAL)
        )
        if self.semantic_tokens is not None:
            semantic = _tokens(self.semantic_tokens, "semantic", MAX_SEMANTIC)
            object.__setattr__(self, "semantic_tokens", semantic)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the voice to an .npz file, whole or not at all, readable by its owner alone.

        Raises:
            VoiceError: the name does not end in .npz, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise VoiceError(f"{path} should end in .npz, as saved voices do")
        try:
            write_whole(path, self._pack(), private=True)
        except OSError as error:
            raise VoiceError(f"cannot write {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Voice:
        """Read a voice that `save` wrote. Nothing in the file is executed.

        Raises:
            VoiceError: it is missing, unreadable, no voice, damaged, or of a newer format.
        """
        try:
            data = _read_regular(path)
        except (OSError, ValueError) as error:  # ValueError: a path that no system has
            reason = getattr(error, "strerror", None) or error
            raise VoiceError(f"cannot read the voice {path}: {reason}") from error
        try:
            return cls(**_unpack(data))
        except _NewerError as error:
            raise VoiceError(
                f"{path} was saved by a newer spark-mlx ({error}); update this one"
            ) from error
        except (VoiceError, *_DAMAGE) as error:
            raise VoiceError(
                f"{path} is no voice or is damaged ({error}); make it again"
            ) from error

    def check(self, codec: str, global_count: int, global_size: int, semantic_size: int) -> None:
        """Refuse a voice that a model cannot speak with.

        Args:
            codec: fingerprint of the model's codec.
            global_count: how many global tokens it takes.
            global_size, semantic_size: how many different tokens there are of each kind.

        Raises:
            VoiceError: the voice belongs to another codec, or its tokens do not fit.
        """
        again = "clone it" if self.origin == "cloned" else "create it"
        if self.codec != codec:
            raise VoiceError(
                f"the voice {self.name!r} belongs to another codec ({self.codec[:12]}) than this "
                f"model's ({codec[:12]}); {again} again with this model"
            )
        wrong = None
        if len(self.global_tokens) != global_count:
            wrong = f"has {len(self.global_tokens)} global tokens instead of {global_count}"
        elif self.global_tokens.max() >= global_size:
            wrong = f"has the global token {self.global_tokens.max()} of {global_size}"
        elif self.semantic_tokens is not None and self.semantic_tokens.max() >= semantic_size:
            wrong = f"has the semantic token {self.semantic_tokens.max()} of {semantic_size}"
        if wrong is not None:
            raise VoiceError(f"the voice {self.name!r} {wrong}; {again} again with this model")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Voice) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        """Every field, arrays as bytes, so that voices compare and hash."""
        values = (getattr(self, entry.name) for entry in fields(self))
        return tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in values)

    def _pack(self) -> bytes:
        """The bytes of the file; equal voices give equal bytes."""
        arrays: dict[str, Any] = {"global_tokens": self.global_tokens}
        if self.semantic_tokens is not None:
            arrays["semantic_tokens"] = self.semantic_tokens
        meta = {k: v for k, v in asdict(self).items() if not k.endswith("_tokens")}
        file = io.BytesIO()
        np.savez(file, meta=np.array(json.dumps({"format": VOICE_FORMAT, **meta})), **arrays)
        if file.tell() > LARGEST:
            raise VoiceError(f"the voice {self.name!r} is too large to save; shorten its texts")
        return file.getvalue()


class _NewerError(Exception):
    """The file's format is newer than this code."""


def _unpack(data: bytes) -> dict[str, Any]:
    """The arguments of `Voice` from a file's bytes.

    Raises:
        _NewerError: the file has a newer format.
        VoiceError, or one of _DAMAGE: it is no voice.
    """
    file = io.BytesIO(data)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = {entry.filename for entry in entries}
        size = sum(entry.file_size for entry in entries)
    # Before anything is unpacked: a small file can claim to unpack to terabytes.
    _expect(max(size, len(data)) <= LARGEST, "file is far too large")
    _expect(
        {"meta.npy", "global_tokens.npy"} <= names <= _ARRAYS, "file has other parts than a voice"
    )
    _expect(
        all(entry.compress_type in _COMPRESSIONS for entry in entries),
        "file is compressed in a way that voices are not",
    )
    for entry in entries:
        _check_header(data, entry.filename)
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = _meta(arrays.pop("meta"))
    if meta["attributes"] is not None:
        known = {entry.name for entry in fields(Attributes)}
        attributes = meta["attributes"]
        _expect(isinstance(attributes, dict) and set(attributes) == known, "attributes are wrong")
        meta["attributes"] = Attributes(**attributes)
    return {**meta, **arrays}


def _read_regular(path: str | os.PathLike[str]) -> bytes:
    """Read up to LARGEST + 1 bytes of a regular file; a pipe would wait for its writer.

    Raises:
        OSError: there is no such file, or it cannot be read.
        VoiceError: it is no regular file.
    """
    # Without O_NONBLOCK the open of a pipe would wait already.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise VoiceError(f"{os.fspath(path)} is no regular file; give an .npz file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(LARGEST + 1)
    finally:
        os.close(descriptor)


def _check_header(data: bytes, member: str) -> None:
    """Check the size that an array's header claims, before numpy makes room for it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        _expect(version in ((1, 0), (2, 0)), "arrays are of an unknown format")
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
    _expect(math.prod(shape) * dtype.itemsize <= LARGEST, "file is far too large")


def _meta(array: Any) -> dict[str, Any]:
    """The JSON table inside the `meta` array, complete and without its format version."""
    _expect(
        isinstance(array, np.ndarray) and array.ndim == 0 and array.dtype.kind == "U",
        "description is not text",
    )
    meta: dict[str, Any] = json.loads(array.item())
    _expect(isinstance(meta, dict), "description is not a table")
    version = meta.pop("format", None)
    _expect(isinstance(version, int) and version > 0, "description has no format version")
    if version > VOICE_FORMAT:
        raise _NewerError(
            f"voice format {reprlib.repr(version)}, and this one reads up to {VOICE_FORMAT}"
        )
    known = {entry.name for entry in fields(Voice) if not entry.name.endswith("_tokens")}
    odd = sorted(known ^ set(meta))
    _expect(not odd, f"description lacks, or should not have: {', '.join(odd)[:200]}")
    return meta


def _tokens(tokens: Any, kind: str, most: int) -> Tokens:
    """A read-only int32 copy of one row of at most `most` tokens."""
    _expect(
        isinstance(tokens, np.ndarray)
        and tokens.ndim == 1
        and tokens.size > 0
        and np.issubdtype(tokens.dtype, np.integer),
        f"{kind} tokens are not a row of whole numbers",
    )
    _expect(tokens.size <= most, f"{kind} tokens are {tokens.size}, and at most {most} are taken")
    _expect(
        tokens.min() >= 0 and tokens.max() <= np.iinfo(np.int32).max,
        f"{kind} tokens reach from {tokens.min()} to {tokens.max()}",
    )
    copy: Tokens = tokens.astype(np.int32)
    copy.setflags(write=False)
    return copy


def _is_date(text: str) -> bool:
    """Whether `text` is an ISO date."""
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _expect(holds: bool, otherwise: str) -> None:
    """Raises VoiceError unless the condition holds; `otherwise` follows "the voice's"."""
    if not holds:
        raise VoiceError(f"the voice's {otherwise}")
