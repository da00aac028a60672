"""The extension's layers as functions of MLX arrays.

They compute at once: the extension reads and writes the memory of MLX arrays, which MLX shares
through the buffer protocol. All arrays are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import mlx.core as mx

from spark_mlx.backends.cpu import native


def is_native(*arrays: mx.array) -> bool:
    """Whether the extension is there and can compute with these arrays."""
    return native.layers() is not None and all(array.dtype == mx.float32 for array in arrays)


def conv(
    x: mx.array,
    weight: mx.array,
    bias: mx.array,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
) -> mx.array:
    """A convolution of x (B, T, in), weight (out, kernel, in // groups) and bias (out,)."""
    out, kernel, _ = weight.shape
    frames = (x.shape[1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    sizes = (*x.shape, kernel, stride, padding, dilation, groups, frames, out)
    return _convolved(extension().conv, x, weight, bias, sizes)


def conv_transpose(
    x: mx.array,
    weight: mx.array,
    bias: mx.array,
    stride: int,
    padding: int,
    output_padding: int,
) -> mx.array:
    """A transposed convolution of x (B, T, in), weight (out, kernel, in) and bias (out,)."""
    out, kernel, _ = weight.shape
    frames = (x.shape[1] - 1) * stride - 2 * padding + kernel + output_padding
    sizes = (*x.shape, kernel, stride, padding, 1, 1, frames, out)
    return _convolved(extension().conv_transpose, x, weight, bias, sizes)


def _convolved(
    compute: Callable[..., None],
    x: mx.array,
    weight: mx.array,
    bias: mx.array,
    sizes: tuple[int, ...],
) -> mx.array:
    y = mx.zeros((x.shape[0], *sizes[-2:]))
    x, weight, bias, y = evaluated(x, weight, bias, y)
    compute(x, weight, bias, y, sizes)
    return y


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """x (B, T, C), alpha (C,) → x + sin²(αx) / α."""
    x, alpha, y = evaluated(x, alpha, mx.zeros(x.shape))
    extension().snake(x, alpha, y, x.shape[-1])
    return y


def gelu(x: mx.array) -> mx.array:
    """x · Φ(x) of any shape."""
    x, y = evaluated(x, mx.zeros(x.shape))
    extension().gelu(x, y)
    return y


def silu(x: mx.array) -> mx.array:
    """x · σ(x) of any shape."""
    x, y = evaluated(x, mx.zeros(x.shape))
    extension().silu(x, y)
    return y


def softmax(scores: mx.array, queries: int) -> mx.array:
    """Softmax over the last axis; with `queries` > 0 causal, for so many rows in turn."""
    (y,) = evaluated(scores + 0)  # a copy, to be overwritten
    extension().softmax(y, y.shape[-1], queries)
    return y


def residual_unit(
    x: mx.array,
    alpha1: mx.array,
    wide: mx.array,
    bias1: mx.array,
    alpha2: mx.array,
    narrow: mx.array,
    bias2: mx.array,
    kernel: int,
    dilation: int,
) -> mx.array:
    """A whole residual unit of the wave generator, x (B, T, C)."""
    x, y, *parameters = evaluated(x, mx.zeros(x.shape), alpha1, wide, bias1, alpha2, narrow, bias2)
    for row in range(x.shape[0]):
        extension().residual_unit(x, *parameters, y, row, *x.shape[1:], kernel, dilation)
    return y


def extension() -> ModuleType:
    layers = native.layers()
    assert layers is not None
    return layers


def evaluated(*arrays: mx.array) -> list[mx.array]:
    """The arrays in memory and without gaps."""
    whole = [mx.contiguous(array) for array in arrays]
    mx.eval(whole)
    return whole
