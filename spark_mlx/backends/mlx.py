"""MLX alone: what a Mac and CUDA run, and the CPU when asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.generation.compute_stream import ComputeStream
from spark_mlx.generation.plain_lm import PlainLM
from spark_mlx.generation.prefetch import InTurn
from spark_mlx.model.qwen2 import Qwen2

T = TypeVar("T")


class MLXBackend:
    """See `Backend`."""

    name = "mlx"
    default_bits: int | None = None

    def __init__(self) -> None:
        self._device = mx.default_device()
        self.default_dtype = "float32" if self._device.type == mx.cpu else "bfloat16"

    def new_stream(self) -> ComputeStream:
        return ComputeStream(self._device)

    def accelerate(self, module: nn.Module) -> None:
        pass  # the model is MLX as it is

    def language_model(self, lm: Qwen2, stored: Path | None = None) -> PlainLM:
        return PlainLM(lm)

    def prefetch(self, make: Callable[[], Iterator[T]]) -> InTurn[T]:
        return InTurn(make)  # a GPU computes one thing after another
