"""The files of a model folder, and a check that each is there and whole."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from spark_mlx.errors import ModelError

CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
WEIGHT_FILES = ("lm.safetensors", "codec.safetensors", "encoder.safetensors")
MODEL_FILES = (CONFIG_FILE, TOKENIZER_FILE, *WEIGHT_FILES)

_MAX_HEADER = 100 << 20  # bytes; safetensors' own limit


def check_whole(folder: Path) -> None:
    """Check that a model folder holds all its files, and none was cut off.

    Weights are compared with the lengths that their headers promise; they are not read.

    Raises:
        ModelError: a file is missing, empty or cut off.
    """
    for name in MODEL_FILES:
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path} is missing; convert or download the model again")
        if name in WEIGHT_FILES and not _is_whole(path):
            raise ModelError(f"{path} is damaged or cut off; convert or download the model again")
    try:
        json.loads((folder / TOKENIZER_FILE).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{folder / TOKENIZER_FILE} is damaged ({error}); convert or download the model again"
        ) from error


def _is_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, _MAX_HEADER):
                return False
            header: dict[str, Any] = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        return bool(size == 8 + length + max(ends, default=0))
    except (struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return False
