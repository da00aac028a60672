"""How the codec's layers are computed on a CPU, where MLX's own kernels are slow.

Each layer in two ways: by the native extension, at once and with a gradient of its own; and as
products and sums of MLX arrays, for machines without the extension. MLX's CPU backend runs a
dilated, grouped or transposed convolution as a scalar loop, some hundred times slower than the same
numbers as matrix products.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from spark_mlx.backends.cpu import functions, native


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
    differentiable = groups == 1 and (stride == 1 or dilation == 1)
    native_one = _native(x, weight) and (differentiable or not training)
    if native_one and not depthwise and frames > 0:
        return functions.conv(stride, padding, dilation, groups)(x, weight, bias)
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
) -> mx.array:
    """x (B, T, in), weight (out, kernel, in // groups), bias (out,) → (B, ~ T · stride, out)."""
    batch, frames, _ = x.shape
    out, kernel, _ = weight.shape
    out_frames = (frames - 1) * stride - 2 * padding + kernel + output_padding
    if _native(x, weight) and groups == 1 and out_frames > 0:
        return functions.conv_transpose(stride, padding, output_padding)(x, weight, bias)
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


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """x (B, T, C), alpha (C,) → x + sin²(αx) / α."""
    if not _native(x, alpha):
        return x + mx.square(mx.sin(alpha * x)) / (alpha + 1e-9)
    return functions.snake(x, alpha)


def gelu(x: mx.array) -> mx.array:
    """x · Φ(x) of any shape."""
    return functions.gelu(x) if _native(x) else nn.gelu(x)


def attend(
    queries: mx.array, keys: mx.array, values: mx.array, scale: float, causal: bool
) -> mx.array:
    """Attention of (B, heads, T, head_dim) to as many or fewer heads of (…, S, head_dim).

    Args:
        causal: the last query sees all keys, each one before it one key less.
    """
    if not _native(queries):
        mask = "causal" if causal else None
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    batch, heads, length, _ = queries.shape
    shared = keys.shape[1]
    # Heads that share their keys are one batch of products.
    grouped = (queries * scale).reshape(batch, shared, heads // shared * length, -1)
    scores = (grouped @ keys.swapaxes(2, 3)).reshape(batch, heads, length, -1)
    weights = softmax(scores, causal).reshape(batch, shared, heads // shared * length, -1)
    return (weights @ values).reshape(batch, heads, length, -1)


def softmax(scores: mx.array, causal: bool = False) -> mx.array:
    """Over the last axis of (…, queries, keys); if causal, a query sees no key after its own."""
    if not _native(scores):
        if causal:
            hidden = mx.triu(
                mx.ones(scores.shape[-2:], mx.bool_), 1 + scores.shape[-1] - scores.shape[-2]
            )
            scores = mx.where(hidden, -mx.inf, scores)
        return mx.softmax(scores, axis=-1)
    return functions.softmax(scores.shape[-2] if causal else 0)(scores)


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
    if x.dtype != mx.float32 or x.size < 16_384:
        return nn.silu(x)
    if _native(x) and x.size >= 131_072:
        return functions.silu(x)
    if training:
        return nn.silu(x)
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
    if wide.training or not _native(x, wide.weight):  # it has no gradient
        return None
    parameters = (
        snake1.alpha, wide.weight, wide.bias, snake2.alpha, narrow.weight, narrow.bias
    )  # fmt: skip
    return functions.residual_unit(x, *parameters, wide.kernel_size, wide.dilation)


def _native(*arrays: mx.array) -> bool:
    """Whether the native layers are there and can compute with these arrays."""
    return native.layers() is not None and all(array.dtype == mx.float32 for array in arrays)
