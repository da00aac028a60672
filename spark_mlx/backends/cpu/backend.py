"""Native code and OpenBLAS where MLX is slow on a plain CPU under Linux."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from spark_mlx.backends.cpu import native
from spark_mlx.backends.cpu.accelerate import accelerate
from spark_mlx.backends.cpu.embedding import EmbeddingOnDisk
from spark_mlx.backends.cpu.qwen2 import NativeQwen2, obstacle
from spark_mlx.generation.compute_stream import ComputeStream
from spark_mlx.generation.plain_lm import PlainLM
from spark_mlx.generation.prefetch import InTurn, Prefetch, Prefetched
from spark_mlx.model.qwen2 import Qwen2

T = TypeVar("T")


class CPUBackend:
    """See `Backend`."""

    name = "cpu"
    default_dtype = "float32"
    default_bits: int | None = 8

    def __init__(self) -> None:
        native.start()

    def new_stream(self) -> ComputeStream:
        return ComputeStream(mx.Device(mx.cpu))

    def accelerate(self, module: nn.Module) -> None:
        accelerate(module)

    def language_model(self, lm: Qwen2, stored: Path | None = None) -> NativeQwen2 | PlainLM:
        """Hand the weights to the native decoder, in the bits that they have.

        Where it cannot take them, quantised layers are unpacked once: MLX multiplies with them some
        six times slower than OpenBLAS with float32 ones.
        """
        found = obstacle(lm)
        if found is None:
            bits = getattr(lm.embed_tokens, "bits", None)
            on_disk = None if stored is None else EmbeddingOnDisk(stored, "embed_tokens", bits)
            return NativeQwen2(lm, on_disk)
        accelerate(lm)
        packed = [
            (name, module)
            for name, module in lm.named_modules()
            if isinstance(module, nn.QuantizedLinear)
        ]
        # One by one, so that both forms of all of them are never in memory.
        for name, module in packed:
            lm.update_modules(tree_unflatten([(name, _unpacked(module))]))
        return PlainLM(lm, remark=f", by MLX, because {found}")

    def prefetch(self, make: Callable[[], Iterator[T]]) -> Prefetched[T]:
        if native.layers() is None:
            return InTurn(make)
        return Prefetch(make, native.reserve_core)


def _unpacked(module: nn.QuantizedLinear) -> nn.Linear:
    weight = mx.dequantize(
        module.weight, module.scales, module.biases, module.group_size, module.bits
    )
    mx.eval(weight)
    linear = nn.Linear(*reversed(weight.shape), bias="bias" in module)
    linear.weight = weight
    if "bias" in module:
        linear.bias = module.bias
    return linear
