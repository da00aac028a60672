"""How the codec's layers are computed on a CPU, where MLX's own kernels are slow.

Each layer in two ways: by the native extension, which computes at once and cannot be
differentiated; and as products and sums of MLX arrays, for training and for machines without the
extension. MLX's CPU backend runs a dilated, grouped or transposed convolution as a scalar loop,
some hundred times slower than the same numbers as matrix products.
"""

from __future__ import annotations

from types import ModuleType

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from spark_mlx import native


def in_use() -> bool:
    """Whether layers are computed on the CPU: the one question that decides for this file."""
    return mx.default_device().type == mx.cpu


def conv1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    training: bool,
) -> mx.array:
    """x (B, T, in), weight (out, kernel, in // groups), bias (out,) → (B, T', out)."""
    out, kernel, _ = weight.shape
    frames = (x.shape[1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    depthwise = groups == x.shape[2] == out
    layers = _native(training, x, weight)
    if layers is not None and not depthwise and frames > 0:
        rows, results = _ready(x, weight, bias, size=(frames, out))
        for row, result in zip(rows, results, strict=True):
            layers.conv(
                row, weight, bias, result, row.shape[0], row.shape[1],
                kernel, stride, padding, dilation, groups, frames, out,
            )  # fmt: skip
        return mx.stack(results)
    padded = mx.pad(x, [(0, 0), (padding, padding), (0, 0)])
    span = (frames - 1) * stride + 1
    taps = [padded[:, j * dilation : j * dilation + span : stride] for j in range(kernel)]
    if depthwise:
        y = bias
        for j, tap in enumerate(taps):
            y = y + tap * weight[:, j, 0]
        return y
    if groups > 1:
        # (groups, B · T', kernel · in) by (groups, kernel · in, out).
        windows = mx.stack([tap.reshape(*tap.shape[:2], groups, -1) for tap in taps], axis=3)
        columns = windows.transpose(2, 0, 1, 3, 4).reshape(groups, x.shape[0] * frames, -1)
        matrices = weight.reshape(groups, out // groups, -1).swapaxes(1, 2)
        y = (columns @ matrices).reshape(groups, x.shape[0], frames, -1)
        return y.transpose(1, 2, 0, 3).reshape(x.shape[0], frames, out) + bias
    if dilation == 1 and not training:  # whose gradient is a scalar loop
        return mx.conv1d(x, weight, stride, padding) + bias
    y = bias
    for j, tap in enumerate(taps):
        y = mx.addmm(y, tap, weight[:, j].T)
    return y


def conv_transpose1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array,
    stride: int,
    padding: int,
    output_padding: int,
    groups: int,
    training: bool,
) -> mx.array:
    """x (B, T, in), weight (out, kernel, in // groups), bias (out,) → (B, ~ T · stride, out)."""
    batch, frames, _ = x.shape
    out, kernel, _ = weight.shape
    out_frames = (frames - 1) * stride - 2 * padding + kernel + output_padding
    layers = _native(training, x, weight)
    if layers is not None and groups == 1 and out_frames > 0:
        rows, results = _ready(x, weight, bias, size=(out_frames, out))
        for row, result in zip(rows, results, strict=True):
            layers.conv_transpose(
                row, weight, bias, result, row.shape[0], row.shape[1],
                kernel, stride, padding, out_frames, out,
            )  # fmt: skip
        return mx.stack(results)
    # What each input frame gives to each of the `kernel` output frames from its own on.
    if groups == 1:
        given = (x @ weight.reshape(-1, weight.shape[2]).T).reshape(batch, frames, out, kernel)
    else:
        given = x[..., None] * weight[:, :, 0]
    # In runs of `stride` frames: run i of a frame lands i runs further on.
    runs = -(-kernel // stride)
    given = mx.pad(given, [(0, 0), (0, 0), (0, 0), (0, runs * stride - kernel)])
    given = given.reshape(batch, frames, out, runs, stride).transpose(0, 3, 1, 4, 2)
    given = given.reshape(batch, runs, frames * stride, out)
    y = mx.zeros((batch, (frames + runs) * stride + output_padding, out))
    for i in range(runs):
        after = y.shape[1] - (i + frames) * stride
        y = y + mx.pad(given[:, i], [(0, 0), (i * stride, after), (0, 0)])
    return y[:, padding : padding + out_frames] + bias


def snake(x: mx.array, alpha: mx.array, training: bool) -> mx.array:
    """x (B, T, C), alpha (C,) → x + sin²(αx) / α."""
    layers = _native(training, x, alpha)
    if layers is None:
        return x + mx.square(mx.sin(alpha * x)) / (alpha + 1e-9)
    rows, results = _ready(x, alpha, size=x.shape[1:])
    for row, result in zip(rows, results, strict=True):
        layers.snake(row, alpha, result, *row.shape)
    return mx.stack(results)


def gelu(x: mx.array, training: bool) -> mx.array:
    """x · Φ(x) of any shape."""
    layers = _native(training, x)
    if layers is None:
        return nn.gelu(x)
    (whole,), (result,) = _ready(x[None], size=x.shape)
    layers.gelu(whole, result)
    return result


def attend(
    queries: mx.array, keys: mx.array, values: mx.array, scale: float, training: bool
) -> mx.array:
    """Attention of everything to everything, (B, heads, T, head_dim), for long sequences."""
    layers = _native(training, queries)
    if layers is None:
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale)
    scores = (queries * scale) @ keys.swapaxes(2, 3)
    (whole,), _ = _ready(scores[None], size=(0,))
    layers.softmax(whole, whole.shape[-1])
    return whole @ values


class Turns:
    """Rotary positions, with the cosines and sines of a step computed once for all layers.

    MLX's fused operation computes them anew for each array, and its sines are slow on a CPU.
    """

    def __init__(self, head_dim: int, base: float) -> None:
        pairs = np.arange(0, head_dim, 2, dtype=np.float32) / head_dim
        self._frequencies = (1.0 / np.float32(base) ** pairs).astype(np.float32)
        self._where: tuple[int, int] | None = None
        self._cos = self._sin = mx.zeros((0,))

    def __call__(self, x: mx.array, position: int) -> mx.array:
        """x (B, heads, T, head_dim), its first token at `position` → the same shape."""
        where = (position, x.shape[2])
        if where != self._where:
            positions = np.arange(position, position + x.shape[2], dtype=np.float32)
            angles = positions[:, None] * self._frequencies
            self._cos, self._sin = mx.array(np.cos(angles)), mx.array(np.sin(angles))
            self._where = where
        cos, sin = self._cos.astype(x.dtype), self._sin.astype(x.dtype)
        first, second = mx.split(x, 2, axis=-1)
        return mx.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


# Adding it rounds a float32 of moderate size to a whole number: 1.5 · 2²³.
_WHOLE = 12582912.0
# 2^f for |f| ≤ 1/2, to 1e-7: a Chebyshev fit of degree 5.
_EXP2 = (0.0013400433, 0.009676037, 0.05550327, 0.24022107, 0.6931472, 1.0000001)


def silu(x: mx.array, training: bool) -> mx.array:
    """x · σ(x) of any shape.

    MLX computes exp one number after another on a CPU. A prompt's many rows go to the extension.
    A few rows, in the middle of the graph of a decode step that must stay lazy, are three times
    faster as two dozen vector operations; a single row is not worth it.
    """
    layers = _native(training, x)
    if training or x.dtype != mx.float32 or x.size < 16_384:
        return nn.silu(x)
    if layers is not None and x.size >= 131_072:
        (row,), (result,) = _ready(x[None], size=x.shape)
        layers.silu(row, result)
        return result
    # e^-|x| = 2^(whole + rest), the first part by putting it into the exponent's bits.
    power = mx.maximum(mx.abs(x) * -1.4426950408889634, -126.0)
    whole = (power + _WHOLE) - _WHOLE
    rest = power - whole
    y = rest * _EXP2[0] + _EXP2[1]
    for coefficient in _EXP2[2:]:
        y = y * rest + coefficient
    small = y * ((whole + 127.0).astype(mx.int32) << 23).view(mx.float32)
    return x * mx.where(x < 0, small, 1.0) / (1.0 + small)


def residual_unit(
    x: mx.array, snake1: nn.Module, wide: nn.Module, snake2: nn.Module, narrow: nn.Module
) -> mx.array | None:
    """x (B, T, C) + narrow(snake2(wide(snake1(x)))) in one go, or None where it cannot be.

    The four steps share a tile of the sequence that stays in the cache; one by one, each would
    fetch its input from memory and put its output back.
    """
    layers = _native(wide.training, x, wide.weight)
    if layers is None:
        return None
    parameters = (
        snake1.alpha, wide.weight, wide.bias, snake2.alpha, narrow.weight, narrow.bias
    )  # fmt: skip
    rows, results = _ready(x, *parameters, size=x.shape[1:])
    for row, result in zip(rows, results, strict=True):
        layers.residual_unit(row, *parameters, result, *row.shape, wide.kernel_size, wide.dilation)
    return mx.stack(results)


def _native(training: bool, *arrays: mx.array) -> ModuleType | None:
    """The native layers, where they are there and may be used."""
    if training or any(array.dtype != mx.float32 for array in arrays):
        return None
    return native.layers()


def _ready(
    x: mx.array, *parameters: mx.array, size: tuple[int, ...]
) -> tuple[list[mx.array], list[mx.array]]:
    """The rows of a batch in memory, and as many results of `size` to be written into.

    The extension reads and writes the memory of MLX arrays, which MLX shares through the buffer
    protocol; so all of them have to be evaluated, and lie without gaps.
    """
    rows = [mx.contiguous(row) for row in x]
    results = [mx.zeros(size) for _ in rows]
    mx.eval(rows, results, parameters)
    return rows, results
