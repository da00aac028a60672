"""Activations on a CPU, where MLX computes sin, erf and exp one number after another."""

from __future__ import annotations

import mlx.core as mx

from spark_mlx.backends.cpu import functions, gradients
from spark_mlx.backends.cpu.fit import FromPlain
from spark_mlx.backends.cpu.functions import is_native
from spark_mlx.model.layers import GELU, SiLU, Snake

# Numbers from which on SiLU is worth a call: fewer, in the middle of the lazy graph of a decode
# step, are left to MLX.
MIN_SILU = 131_072


class CPUSnake(FromPlain, Snake):
    def __call__(self, x: mx.array) -> mx.array:
        if not is_native(x, self.alpha):
            return super().__call__(x)
        return (gradients if self.training else functions).snake(x, self.alpha)


class CPUGELU(FromPlain, GELU):
    def __call__(self, x: mx.array) -> mx.array:
        if not is_native(x):
            return super().__call__(x)
        return (gradients if self.training else functions).gelu(x)


class CPUSiLU(FromPlain, SiLU):
    def __call__(self, x: mx.array) -> mx.array:
        if not is_native(x) or x.size < MIN_SILU:
            return super().__call__(x)
        return (gradients if self.training else functions).silu(x)
