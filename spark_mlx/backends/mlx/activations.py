"""Activations as one kernel each, and not one for each of their operations."""

from __future__ import annotations

from functools import partial

import mlx.core as mx

from spark_mlx.backends.fit import FromPlain
from spark_mlx.model.layers import Snake


class CompiledSnake(FromPlain, Snake):
    def __call__(self, x: mx.array) -> mx.array:
        return _snake(x, self.alpha)


@partial(mx.compile, shapeless=True)
def _snake(x: mx.array, alpha: mx.array) -> mx.array:
    return x + mx.square(mx.sin(alpha * x)) / (alpha + 1e-9)


@partial(mx.compile, shapeless=True)
def swiglu(gate: mx.array, up: mx.array) -> mx.array:
    """Two (…, C) → gate · σ(gate) · up."""
    return gate * mx.sigmoid(gate) * up
