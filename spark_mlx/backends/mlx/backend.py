"""MLX alone: what a Mac and CUDA run, and the CPU when asked to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from spark_mlx.backends.mlx.activations import CompiledSnake
from spark_mlx.backends.mlx.conv import PhasedConvTranspose1d
from spark_mlx.backends.mlx.fused import fuse
from spark_mlx.generation.compute_stream import ComputeStream
from spark_mlx.generation.plain_lm import PlainLM
from spark_mlx.generation.prefetch import InTurn
from spark_mlx.model.layers import ConvTranspose1d, Snake
from spark_mlx.model.qwen2 import Qwen2

T = TypeVar("T")

# Bytes of freed buffers that MLX keeps for the next arrays; without a limit it keeps those of
# every length that was ever decoded, until the machine is full.
MAX_CACHE = 512 << 20
# Codes that a GPU decodes at once: few sizes, so that few sizes of buffers are kept.
STRETCHES = (128, 64, 32, 16)


class MLXBackend:
    """See `Backend`."""

    name = "mlx"
    stretches: tuple[int, ...] = STRETCHES

    def __init__(self) -> None:
        self._device = mx.default_device()
        on_gpu = self._device.type == mx.gpu
        self.default_dtype = "bfloat16" if on_gpu else "float32"
        self.default_bits: int | None = 8 if on_gpu else None
        # Products of float32 with 10 bits of mantissa turn codes. Read by MLX at the first product.
        os.environ.setdefault("MLX_ENABLE_TF32", "0")
        if on_gpu:
            mx.set_cache_limit(MAX_CACHE)

    def new_stream(self) -> ComputeStream:
        return ComputeStream(self._device)

    def accelerate(self, module: nn.Module) -> None:
        def fitted(layer: nn.Module) -> nn.Module:
            if type(layer) is ConvTranspose1d and layer.groups == 1:
                return PhasedConvTranspose1d.from_plain(layer)
            return CompiledSnake.from_plain(layer) if type(layer) is Snake else layer

        module.update_modules(tree_map(fitted, module.leaf_modules(), is_leaf=nn.Module.is_module))

    def language_model(self, lm: Qwen2, stored: Path | None = None) -> PlainLM:
        fuse(lm)
        return PlainLM(lm)

    def prefetch(self, make: Callable[[], Iterator[T]]) -> InTurn[T]:
        return InTurn(make)  # a GPU computes one thing after another
