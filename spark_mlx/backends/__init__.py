"""Choose what a loaded model computes with: MLX alone, or MLX and native code for a plain CPU.

The model itself knows no device. A backend fits it from outside when it is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.errors import ConfigError
from spark_mlx.generation.compute_stream import ComputeStream
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.prefetch import Prefetched
from spark_mlx.model.qwen2 import Qwen2

T = TypeVar("T")

VARIABLE = "SPARK_MLX_BACKEND"
CHOICES = ("auto", "mlx", "cpu")


class Backend(Protocol):
    """
    Attributes:
        name: "mlx" or "cpu".
        default_dtype: what the language model computes in unless told otherwise.
        default_bits: of weights that are converted for it, or None to leave them as they are.
        stretches: see `Codec`.
    """

    name: str
    default_dtype: str
    default_bits: int | None
    stretches: tuple[int, ...]

    def new_stream(self) -> ComputeStream:
        """A stream of its device."""
        ...

    def accelerate(self, module: nn.Module) -> None:
        """Fit the layers of a loaded model to the device, in place."""
        ...

    def language_model(self, lm: Qwen2, stored: Path | None = None) -> LanguageModel:
        """Make a loaded Qwen2, which is not to be used any more, ready to generate.

        Args:
            stored: the file of its weights, if its embedding may be read from there.
        """
        ...

    def prefetch(self, make: Callable[[], Iterator[T]]) -> Prefetched[T]:
        """Make items while earlier ones are used, where that gains time."""
        ...


def choose() -> Backend:
    """The backend that `SPARK_MLX_BACKEND` names; by default "cpu" on Linux without a GPU.

    Raises:
        ConfigError: it names none of them, or one that is not for this system.
    """
    name = os.environ.get(VARIABLE) or "auto"
    if name not in CHOICES:
        raise ConfigError(f"{VARIABLE} is {', '.join(CHOICES[:-1])} or {CHOICES[-1]}, not {name!r}")
    linux = sys.platform == "linux"
    if name == "cpu" and not linux:
        raise ConfigError(f"{VARIABLE}=cpu is for Linux; use mlx")
    if name == "auto":
        name = "cpu" if linux and mx.default_device().type == mx.cpu else "mlx"
    if name == "mlx":
        from spark_mlx.backends.mlx.backend import MLXBackend

        return MLXBackend()
    from spark_mlx.backends.cpu.backend import CPUBackend

    return CPUBackend()
