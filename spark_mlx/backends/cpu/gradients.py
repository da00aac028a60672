"""Gradients of the native layers, for training on a CPU; speech needs none of this.

Each function is that of `functions` with a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import mlx.core as mx

from spark_mlx.backends.cpu import functions
from spark_mlx.backends.cpu.functions import evaluated, extension, is_native

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
        return functions.conv(x, weight, bias, stride, padding, dilation, groups)

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
        return functions.conv_transpose(x, weight, bias, stride, padding, output_padding)

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


def _conv_gradient(
    x: mx.array, given: mx.array, kernel: int, stride: int, padding: int, dilation: int
) -> mx.array:
    """Of a convolution by its weights, (kernel, in, out), from its input and what it was given."""
    sizes = (*x.shape, kernel, stride, padding, dilation, 1, *given.shape[1:])
    by_weight = mx.zeros((kernel, x.shape[2], given.shape[2]))
    x, given, by_weight = evaluated(x, given, by_weight)
    extension().conv_gradient(x, given, by_weight, sizes)
    return by_weight


def _snake_gradient(primals: Arrays, given: mx.array, _: mx.array) -> Arrays:
    x, alpha = primals
    x, alpha, given, by_x, by_alpha = evaluated(
        x, alpha, given, mx.zeros(x.shape), mx.zeros(alpha.shape)
    )
    extension().snake_gradient(x, alpha, given, by_x, by_alpha, x.shape[-1])
    return by_x, by_alpha


def _curve(name: str) -> Function:
    """A function of single numbers, and the extension's gradient of that name."""

    def gradient(x: mx.array, given: mx.array, _: mx.array) -> mx.array:
        x, given, by_x = evaluated(x, given, mx.zeros(x.shape))
        getattr(extension(), f"{name}_gradient")(x, given, by_x)
        return by_x

    return _differentiable(getattr(functions, name), gradient)


snake = _differentiable(functions.snake, _snake_gradient)
gelu = _curve("gelu")
silu = _curve("silu")


@cache
def _softmax(queries: int) -> Function:
    def function(scores: mx.array) -> mx.array:
        return functions.softmax(scores, queries)

    def gradient(_: mx.array, given: mx.array, y: mx.array) -> mx.array:
        y, by_scores = evaluated(y, given + 0)
        extension().softmax_gradient(y, by_scores, y.shape[-1])
        return by_scores

    return _differentiable(function, gradient)


def softmax(scores: mx.array, causal: bool = False) -> mx.array:
    """Over the last axis of (…, queries, keys); if causal, a query sees no key after its own."""
    if is_native(scores):
        return _softmax(scores.shape[-2] if causal else 0)(scores)
    if causal:
        hidden = mx.triu(
            mx.ones(scores.shape[-2:], mx.bool_), 1 + scores.shape[-1] - scores.shape[-2]
        )
        scores = mx.where(hidden, -mx.inf, scores)
    return mx.softmax(scores, axis=-1)
