"""The extension's layers as functions of MLX arrays, each with its gradient.

They compute at once: the extension reads and writes the memory of MLX arrays, which MLX shares
through the buffer protocol. All arrays are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, cast

import mlx.core as mx

from spark_mlx.backends.cpu import native

Arrays = tuple[mx.array, ...]
Function = Callable[..., mx.array]


def _differentiable(function: Function, gradient: Callable[..., Any]) -> Function:
    """`function` of arrays alone, with `gradient`(inputs, gradient of the output, output)."""
    whole = mx.custom_function(function)
    whole.vjp(gradient)
    return cast(Function, whole)


@cache
def conv(stride: int, padding: int, dilation: int, groups: int) -> Function:
    """A convolution of x (B, T, in), weight (out, kernel, in // groups) and bias (out,).

    It has a gradient without groups, and with a stride or a dilation but not both.
    """

    def function(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        out, kernel, _ = weight.shape
        frames = (x.shape[1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        sizes = (*x.shape, kernel, stride, padding, dilation, groups, frames, out)
        return _convolved(_extension().conv, x, weight, bias, sizes)

    def gradient(primals: Arrays, given: mx.array, _: mx.array) -> Arrays:
        x, weight, _ = primals
        kernel = weight.shape[1]
        none = mx.zeros((x.shape[2],))
        if stride == 1:  # what each input gave, gathered by the same taps the other way round
            around = dilation * (kernel - 1) - padding
            by_x = conv(1, around, dilation, 1)(given, weight[:, ::-1].transpose(2, 1, 0), none)
        else:
            more = x.shape[1] - ((given.shape[1] - 1) * stride - 2 * padding + kernel)
            undo = conv_transpose(stride, padding, more)
            by_x = undo(given, weight.transpose(2, 1, 0), none)
        by_weight = _conv_gradient(x, given, kernel, stride, padding, dilation)
        return by_x, by_weight.transpose(2, 0, 1), given.sum(axis=(0, 1))

    return _differentiable(function, gradient)


@cache
def conv_transpose(stride: int, padding: int, output_padding: int) -> Function:
    """A transposed convolution of x (B, T, in), weight (out, kernel, in) and bias (out,)."""

    def function(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        out, kernel, _ = weight.shape
        frames = (x.shape[1] - 1) * stride - 2 * padding + kernel + output_padding
        sizes = (*x.shape, kernel, stride, padding, 1, 1, frames, out)
        return _convolved(_extension().conv_transpose, x, weight, bias, sizes)

    def gradient(primals: Arrays, given: mx.array, _: mx.array) -> Arrays:
        x, weight, _ = primals
        kernel = weight.shape[1]
        # A plain convolution goes the way back, over as much as the input reached.
        seen = given[:, : (x.shape[1] - 1) * stride - 2 * padding + kernel]
        none = mx.zeros((x.shape[2],))
        by_x = conv(stride, padding, 1, 1)(seen, weight.transpose(2, 1, 0), none)
        by_weight = _conv_gradient(seen, x, kernel, stride, padding, 1)
        return by_x, by_weight.transpose(1, 0, 2), given.sum(axis=(0, 1))

    return _differentiable(function, gradient)


def _convolved(
    compute: Callable[..., None],
    x: mx.array,
    weight: mx.array,
    bias: mx.array,
    sizes: tuple[int, ...],
) -> mx.array:
    y = mx.zeros((x.shape[0], *sizes[-2:]))
    x, weight, bias, y = _evaluated(x, weight, bias, y)
    compute(x, weight, bias, y, sizes)
    return y


def _conv_gradient(
    x: mx.array, given: mx.array, kernel: int, stride: int, padding: int, dilation: int
) -> mx.array:
    """Of a convolution by its weights, (kernel, in, out), from its input and what it was given."""
    sizes = (*x.shape, kernel, stride, padding, dilation, 1, *given.shape[1:])
    by_weight = mx.zeros((kernel, x.shape[2], given.shape[2]))
    x, given, by_weight = _evaluated(x, given, by_weight)
    _extension().conv_gradient(x, given, by_weight, sizes)
    return by_weight


def _snake(x: mx.array, alpha: mx.array) -> mx.array:
    x, alpha, y = _evaluated(x, alpha, mx.zeros(x.shape))
    _extension().snake(x, alpha, y, x.shape[-1])
    return y


def _snake_gradient(primals: Arrays, given: mx.array, _: mx.array) -> Arrays:
    x, alpha = primals
    x, alpha, given, by_x, by_alpha = _evaluated(
        x, alpha, given, mx.zeros(x.shape), mx.zeros(alpha.shape)
    )
    _extension().snake_gradient(x, alpha, given, by_x, by_alpha, x.shape[-1])
    return by_x, by_alpha


def _curve(name: str) -> Function:
    """A function of single numbers, and the extension's gradient of that name."""

    def function(x: mx.array) -> mx.array:
        x, y = _evaluated(x, mx.zeros(x.shape))
        getattr(_extension(), name)(x, y)
        return y

    def gradient(x: mx.array, given: mx.array, _: mx.array) -> mx.array:
        x, given, by_x = _evaluated(x, given, mx.zeros(x.shape))
        getattr(_extension(), f"{name}_gradient")(x, given, by_x)
        return by_x

    return _differentiable(function, gradient)


snake = _differentiable(_snake, _snake_gradient)
gelu = _curve("gelu")
silu = _curve("silu")


@cache
def softmax(queries: int) -> Function:
    """Over the last axis; with `queries` > 0 causal, for so many rows in turn (see sound.h)."""

    def function(scores: mx.array) -> mx.array:
        (y,) = _evaluated(scores + 0)  # a copy, to be overwritten
        _extension().softmax(y, y.shape[-1], queries)
        return y

    def gradient(_: mx.array, given: mx.array, y: mx.array) -> mx.array:
        y, by_scores = _evaluated(y, given + 0)
        _extension().softmax_gradient(y, by_scores, y.shape[-1])
        return by_scores

    return _differentiable(function, gradient)


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
    """A whole unit of the wave generator, x (B, T, C); it has no gradient."""
    x, y, *parameters = _evaluated(x, mx.zeros(x.shape), alpha1, wide, bias1, alpha2, narrow, bias2)
    for row in range(x.shape[0]):
        _extension().residual_unit(x, *parameters, y, row, *x.shape[1:], kernel, dilation)
    return y


def _extension() -> ModuleType:
    layers = native.layers()
    assert layers is not None
    return layers


def _evaluated(*arrays: mx.array) -> list[mx.array]:
    """The arrays in memory and without gaps."""
    whole = [mx.contiguous(array) for array in arrays]
    mx.eval(whole)
    return whole
