"""Place and layout of a tensor in a file, and reading it: common to all formats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spark_mlx.errors import ModelError

# safetensors' names for the element types, and the numpy type that holds their bytes.
# numpy has no bfloat16: its bytes are read as integers and widened in `read_floats`.
ELEMENTS: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("u1"),
}


@dataclass(frozen=True)
class Record:
    """A tensor in a file.

    Attributes:
        dtype: a key of `ELEMENTS`, or another name of safetensors, which cannot be read here.
        shape: as the file gives it.
        strides: in elements, an entry for each axis.
        offset: of the first element, in bytes from the beginning of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of a tensor stored row by row."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Number of elements from a tensor's first to its last, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


def read_floats(path: Path, name: str, record: Record) -> np.ndarray:
    """Read one tensor as float32, whatever floating type it is stored in.

    Raises:
        ModelError: the tensor holds no floating-point numbers, or the file ends inside it.
    """
    if record.dtype not in ("F64", "F32", "F16", "BF16"):
        raise ModelError(f"{path}: {name} holds {record.dtype} numbers, not floating-point ones")
    element = ELEMENTS[record.dtype]
    count = span(record.shape, record.strides)
    flat = np.fromfile(path, dtype=element, count=count, offset=record.offset)
    if flat.size < count:
        raise ModelError(f"{path} ends inside {name}; copy or download it again")
    if record.dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite, as torch has it
        flat = flat.astype(np.float32, copy=False)
    if record.strides == contiguous_strides(record.shape):
        return flat.reshape(record.shape)
    strides = [4 * stride for stride in record.strides]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, record.shape, strides))
