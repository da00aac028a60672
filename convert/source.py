"""A weight file of a checkpoint, safetensors or torch pickle, read one tensor at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from spark_mlx.convert import pickles
from spark_mlx.convert.records import Record, contiguous_strides, read_floats
from spark_mlx.errors import ModelError

FILE_NAMES = ("model.safetensors", "pytorch_model.bin")


class Source:
    """The tensors of one folder of a checkpoint.

    Attributes:
        path: the weight file.
        records: name → type, shape and place of every tensor in it.

    Raises:
        ModelError: there is no weight file, or it is damaged or unreadable.
    """

    def __init__(self, folder: Path) -> None:
        found = [folder / name for name in FILE_NAMES if (folder / name).is_file()]
        if not found:
            raise ModelError(f"{folder} holds no weights: neither {' nor '.join(FILE_NAMES)}")
        self.path = found[0]
        is_pickle = self.path.name == FILE_NAMES[1]
        try:
            self.records = (pickles.read_records if is_pickle else _read_header)(self.path)
            self.bytes = self.path.stat().st_size
        except OSError as error:
            raise ModelError(f"cannot read {self.path}: {error.strerror or error}") from error

    def read(self, name: str) -> np.ndarray:
        """One tensor as float32.

        Raises:
            ModelError: it holds no floating-point numbers, or the file cannot be read.
        """
        try:
            return read_floats(self.path, name, self.records[name])
        except OSError as error:
            raise ModelError(f"cannot read {self.path}: {error.strerror or error}") from error

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the whole file, in pieces."""
        with self.path.open("rb") as file:
            while block := file.read(1 << 22):
                yield block


def _read_header(path: Path) -> dict[str, Record]:
    """Name → place of every tensor in a safetensors file, which is checked to be whole."""
    try:
        # The library checks lengths, offsets and overlaps, but does not return the offsets.
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged ({error}); copy or download it again") from error
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {
        name: Record(
            entry["dtype"],
            tuple(entry["shape"]),
            contiguous_strides(tuple(entry["shape"])),
            8 + length + entry["data_offsets"][0],
        )
        for name, entry in header.items()
    }
