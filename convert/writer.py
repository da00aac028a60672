"""Writes a safetensors file one tensor at a time.

`safetensors.save_file` and `mx.save_safetensors` want every tensor at once; a checkpoint of two
gigabytes is written here with no more than one tensor in memory. The format is eight bytes with
the header's length, a JSON header, then the tensors' bytes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import mlx.core as mx
import numpy as np

# Name in the header, and bytes for an element.
_DTYPES: dict[mx.Dtype, tuple[str, int]] = {
    mx.float32: ("F32", 4),
    mx.bfloat16: ("BF16", 2),
    mx.uint32: ("U32", 4),
    mx.int64: ("I64", 8),
}


class TensorSpec(NamedTuple):
    """Name, dtype and shape of a tensor in the header of a file."""

    name: str
    dtype: mx.Dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * _DTYPES[self.dtype][1]


class SafetensorsWriter:
    """A safetensors file being written; the tensors come in the order of their specs.

        with SafetensorsWriter(path, specs) as writer:
            for spec in specs:
                writer.append(spec.name, tensor_of(spec))

    Leaving the block without an exception and with a tensor missing raises ValueError: specs and
    tensors come from the same code, so a difference is a mistake there and not the user's.
    """

    def __init__(self, path: Path, specs: Sequence[TensorSpec]) -> None:
        self._specs = list(specs)
        self._next = 0
        header = _header(self._specs)
        self._file = path.open("wb")
        self._file.write(header)

    def append(self, name: str, tensor: mx.array | np.ndarray) -> None:
        """Write the next tensor.

        Raises:
            ValueError: another tensor is due, or dtype or shape differ from the spec.
            OSError: the disk is full or the file cannot be written.
        """
        if self._next == len(self._specs):
            raise ValueError(f"no tensor is due any more, got {name}")
        spec = self._specs[self._next]
        data = _as_numpy(tensor)
        item_size = _DTYPES[spec.dtype][1]
        if (name, tuple(tensor.shape), data.itemsize) != (spec.name, spec.shape, item_size):
            raise ValueError(f"{spec} is due, got {name} {tensor.dtype} {tuple(tensor.shape)}")
        # A view of the memory itself: tobytes() would hold the tensor twice.
        self._file.write(data.reshape(-1).view(np.uint8).data)
        self._next += 1

    def close(self) -> None:
        """Closes the file.

        Raises:
            ValueError: a tensor that the header promises was never written.
        """
        self._file.close()
        if self._next < len(self._specs):
            raise ValueError(f"{self._specs[self._next].name} was never written")

    def __enter__(self) -> SafetensorsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def _header(specs: Sequence[TensorSpec]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    position = 0
    for spec in specs:
        if spec.name in header:
            raise ValueError(f"{spec.name} would be written twice")
        end = position + spec.nbytes
        header[spec.name] = {
            "dtype": _DTYPES[spec.dtype][0],
            "shape": list(spec.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    return struct.pack("<Q", len(text)) + text


def _as_numpy(tensor: mx.array | np.ndarray) -> np.ndarray:
    """The tensor's memory as a contiguous numpy array; bfloat16, which numpy lacks, as uint16."""
    if isinstance(tensor, mx.array):
        tensor = np.asarray(tensor.view(mx.uint16) if tensor.dtype == mx.bfloat16 else tensor)
    return np.ascontiguousarray(tensor)
