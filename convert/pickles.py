"""Find the tensors in a file that torch.save wrote, without torch and without running anything.

A pickle is a program: loading one with `pickle.load` calls whatever functions it names. Here it may
name an ordered dictionary, torch's two functions that put a tensor together, and torch's storage
classes, and all of these are stand-ins that only note numbers. Anything else is an error. Its
opcodes are scanned before it is loaded: see `pickle_scan`.

Both layouts are read: the zip of torch 1.6 and later, and the row of pickles before it. The values
stay where they are; a `Record` says where.

Source: `torch/serialization.py` describes both layouts.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from spark_mlx.convert import pickle_scan
from spark_mlx.convert.records import ELEMENTS, Record, span
from spark_mlx.errors import ModelError
from spark_mlx.model.config import shown

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# The pickle names tensors and nothing more: one that is larger is not a checkpoint.
_MAX_PICKLE = 64 * 2**20
_MAX_NAME = 500  # characters
_MAX_AXES = 8
_MAX_NUMBER = 2**48  # of elements

_STORAGE_DTYPES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


@dataclass(frozen=True)
class _StorageClass:
    """Stands for torch.FloatStorage and the like."""

    dtype: str


@dataclass(frozen=True)
class _Storage:
    """A flat run of numbers elsewhere in the file."""

    dtype: str
    key: str
    elements: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int  # in elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]


# Errors of damaged or hostile pickles, besides ModelError. MemoryError and OverflowError come from
# lengths that the file only claims.
_DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def read_records(path: Path) -> dict[str, Record]:
    """Name → place of every tensor in a state dictionary saved by torch.

    Raises:
        ModelError: the file is no such pickle, is damaged, or names something that is no tensor.
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                state, offsets = _read_zip(path, file)
            else:
                file.seek(0)
                state, offsets = _read_legacy(path, file)
            size = file.seek(0, 2)
        if not isinstance(state, Mapping):
            raise ModelError(f"{path} holds a {type(state).__name__}, not a table of tensors")
        return {name: _record(path, name, tensor, offsets, size) for name, tensor in state.items()}
    except _DAMAGE as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{path} is damaged or no torch checkpoint ({detail}); copy or download it again"
        ) from error


def _read_zip(path: Path, file: BinaryIO) -> tuple[object, dict[str, int]]:
    """The unpickled object, and where each storage begins in the file."""
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        found = [name for name in entries if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise ModelError(f"{path} is a zip, but not one that torch.save writes")
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise ModelError(f"{path} is a compressed zip, which torch.save never writes")
        if entries[found[0]].file_size > _MAX_PICKLE:
            raise ModelError(f"{path}: {found[0]} is too large to be a table of tensors")
        with archive.open(found[0]) as stream:
            state = _load(io.BytesIO(stream.read(_MAX_PICKLE)), path)[0]
    folder = found[0].removesuffix("data.pkl") + "data/"
    offsets = {}
    for name, info in entries.items():
        if not name.startswith(folder):
            continue
        # The central directory gives the local header's place; the data follow that header, whose
        # name and extra field (torch's padding) are as long as it says itself.
        file.seek(info.header_offset)
        lengths = struct.unpack("<2H", file.read(30)[26:])
        offsets[name.removeprefix(folder)] = info.header_offset + 30 + sum(lengths)
    return state, offsets


def _read_legacy(path: Path, file: BinaryIO) -> tuple[object, dict[str, int]]:
    """The same for a row of pickles: magic number, protocol, system, object, storage keys."""
    if _load(file, path)[0] != _LEGACY_MAGIC:
        raise ModelError(f"{path} is a pickle, but not one that torch.save writes")
    protocol: Any = _load(file, path)[0]
    system: Any = _load(file, path)[0]
    if protocol != _LEGACY_PROTOCOL or not system["little_endian"]:
        raise ModelError(f"{path} was saved in a form of torch.save that is not known here")
    state, storages = _load(file, path)
    offsets: dict[str, int] = {}
    keys: Any = _load(file, path)[0]
    for key in keys:
        if not isinstance(key, str) or key in offsets:
            raise pickle.UnpicklingError("a key of a storage that is no text, or comes twice")
        # Each storage: its number of elements in eight bytes, then the elements.
        (count,) = struct.unpack("<q", file.read(8))
        storage = storages[key]
        if count != storage.elements:
            raise ModelError(f"{path}: storage {key} has {count} numbers, not {storage.elements}")
        offsets[key] = file.tell()
        file.seek(count * ELEMENTS[storage.dtype].itemsize, 1)
    return state, offsets


def _load(file: BinaryIO, path: Path) -> tuple[object, dict[str, _Storage]]:
    """Scan and load one pickle; the object, and the storages that it names."""
    start = file.tell()
    pickle_scan.scan(_Limited(file))
    file.seek(start)
    unpickler = _Unpickler(file, path)
    return unpickler.load(), unpickler.storages


class _Limited:
    """The next `_MAX_PICKLE` bytes of a file, with the two methods that the scan reads by."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_PICKLE

    def read(self, size: int) -> bytes:
        return self._count(self._file.read(min(max(size, 0), self._left)))

    def readline(self) -> bytes:
        return self._count(self._file.readline(self._left))

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        return data


def _record(
    path: Path, name: object, tensor: object, offsets: Mapping[str, int], file_size: int
) -> Record:
    """Check that a tensor lies inside its storage and the file."""
    if not isinstance(name, str) or not isinstance(tensor, _Tensor):
        raise ModelError(f"{path}: {shown(name)} is a {type(tensor).__name__}, not a tensor")
    if len(name) > _MAX_NAME:
        raise ModelError(f"{path}: {shown(name)} is too long for the name of a tensor")
    storage, size = tensor.storage, ELEMENTS[tensor.storage.dtype].itemsize
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if len(tensor.shape) != len(tensor.strides) or min(numbers) < 0:
        raise ModelError(f"{path}: {name} has an impossible shape, {shown(tensor.shape)}")
    if tensor.offset + span(tensor.shape, tensor.strides) > storage.elements:
        raise ModelError(f"{path}: {name} reaches beyond the numbers stored for it")
    if math.prod(tensor.shape) > storage.elements:
        raise ModelError(f"{path}: {name} repeats numbers, so it is larger than what is stored")
    if storage.key not in offsets or offsets[storage.key] + storage.elements * size > file_size:
        raise ModelError(f"{path} ends before the numbers of {name}; copy or download it again")
    start = offsets[storage.key] + tensor.offset * size
    return Record(storage.dtype, tensor.shape, tensor.strides, start)


class _Unpickler(pickle.Unpickler):
    """Knows a handful of names and resolves them to stand-ins."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return lambda: OrderedDict()  # with arguments it would hash what they hold
        # A pickle may set attributes on what it is given, so each of these is made anew.
        if module == "torch" and name in _STORAGE_DTYPES:
            return _StorageClass(_STORAGE_DTYPES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: _tensor(*arguments)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        raise ModelError(
            f"{self._path} names {f'{module}.{name}'[:200]}, which no table of tensors needs; "
            "it is refused, because loading it could run a program"
        )

    def persistent_load(self, identifier: Any) -> _Storage:
        """("storage", class, key, device, elements[, view]): torch's name for a storage."""
        kind, storage_class, key, _device, elements, *view = identifier
        if kind != "storage" or not isinstance(storage_class, _StorageClass) or any(view):
            raise pickle.UnpicklingError(f"unknown storage {shown(identifier)}")
        if not isinstance(key, str | int) or len(f"{key}") > _MAX_NAME:
            raise pickle.UnpicklingError(f"a storage called {shown(key)}")
        if not isinstance(elements, int) or not 0 <= elements < _MAX_NUMBER:
            raise pickle.UnpicklingError(f"a storage of {shown(elements)} numbers")
        storage = _Storage(storage_class.dtype, str(key), elements)
        self.storages[storage.key] = storage
        return storage


def _tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
    """torch._utils._rebuild_tensor_v2; what follows the strides concerns gradients."""
    if not isinstance(storage, _Storage) or not isinstance(offset, int):
        raise pickle.UnpicklingError(f"a tensor at {shown(offset)} of {shown(storage)}")
    if abs(offset) > _MAX_NUMBER:
        raise pickle.UnpicklingError("a tensor beyond the end of any file")
    return _Tensor(storage, offset, _integers(shape), _integers(strides))


def _integers(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(isinstance(value, int) for value in values):
        raise pickle.UnpicklingError(f"{shown(values)} is no shape")
    if len(values) > _MAX_AXES or any(abs(value) > _MAX_NUMBER for value in values):
        raise pickle.UnpicklingError("a shape with too many axes or numbers")
    return values
