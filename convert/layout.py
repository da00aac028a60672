"""From torch's tensors to MLX's: weight norm and batch norm folded, axes moved.

A module's type says how its axes lie; sizes never do, because they can agree by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.nn as nn
import numpy as np

from spark_mlx.model.bicodec.ecapa import FoldedBatchNorm
from spark_mlx.model.layers import Conv1d, ConvTranspose1d, Snake

BATCH_NORM_EPS = 1e-5  # torch's default, which ECAPA leaves as it is

Shape = tuple[int, ...]


def torch_shape(module: nn.Module, leaf: str, shape: Shape, pointwise: bool) -> Shape:
    """The shape upstream of a parameter that has `shape` here.

    Args:
        module: the module that owns the parameter.
        leaf: the parameter's name in it.
        shape: of the parameter, not quantised.
        pointwise: whether a linear layer is a convolution of width 1 upstream.
    """
    if leaf == "weight" and isinstance(module, ConvTranspose1d):
        out, kernel, in_group = shape
        return in_group * module.groups, out // module.groups, kernel
    if leaf == "weight" and isinstance(module, Conv1d):
        out, kernel, in_group = shape
        return out, in_group, kernel
    if leaf == "weight" and pointwise:
        return *shape, 1
    if isinstance(module, Snake):
        return 1, *shape, 1
    return shape


def from_torch(module: nn.Module, leaf: str, x: np.ndarray, pointwise: bool) -> np.ndarray:
    """Moves the axes of a tensor of `torch_shape`; the arguments are the same."""
    if leaf == "weight" and isinstance(module, ConvTranspose1d):
        # (in, out // groups, kernel): the groups lie along `in` there and along `out` here.
        groups = module.groups
        grouped = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
        return grouped.transpose(0, 2, 3, 1).reshape(-1, x.shape[2], x.shape[0] // groups)
    if leaf == "weight" and isinstance(module, Conv1d):
        return x.transpose(0, 2, 1)
    if leaf == "weight" and pointwise:
        return x[..., 0]
    if isinstance(module, Snake):
        return x.reshape(-1)
    return x


def weight_norm_axis(name: str) -> int:
    """The axis along which a weight-normed tensor has a gain for each slice."""
    return 2 if ".pos_conv_embed." in name else 0


def fold_weight_norm(gain: np.ndarray, direction: np.ndarray, axis: int) -> np.ndarray:
    """direction · gain / |direction|, the norm taken over all axes but `axis`."""
    others = tuple(i for i in range(direction.ndim) if i != axis)
    norm = np.sqrt(np.square(direction).sum(axis=others, keepdims=True))
    # In place: the largest of these is a fair part of the memory that the converter may use.
    direction *= gain / norm
    return direction


def batch_norm_inputs(leaf: str) -> Sequence[str]:
    """What a parameter of `FoldedBatchNorm` is computed from, for `fold_batch_norm`."""
    scale = ("weight", "running_var")
    return scale if leaf == "scale" else (*scale, "bias", "running_mean")


def fold_batch_norm(
    weight: np.ndarray,
    variance: np.ndarray,
    bias: np.ndarray | None = None,
    mean: np.ndarray | None = None,
) -> np.ndarray:
    """Batch norm's scale; with bias and mean given, its shift."""
    # In float64: two roundings fewer, for a few thousand numbers.
    scale = weight / np.sqrt(variance.astype(np.float64) + BATCH_NORM_EPS)
    folded = scale if bias is None or mean is None else bias - mean * scale
    return folded.astype(np.float32)


def is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, FoldedBatchNorm)
