"""Random weights by a recipe: a tensor follows from its name and shape alone.

The recipe gives each kind of parameter values of the size that training would, so that activations
neither vanish nor explode: unit normals divided by the root of the fan-in for matrices and
kernels, values about one for scales, small ones for biases. Checkpoints of tests, the self-check
and the benchmark's models are all filled with it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_flatten, tree_unflatten

Array = TypeVar("Array", npt.NDArray[np.float32], mx.array)
Generator = Literal["numpy", "mlx"]


def random_tensor(name: str, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """The exact tensor of a name, the same on every machine: float32, or int64 for a counter."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    return _scaled(name, _normal(np.random.RandomState(zlib.crc32(name.encode())), shape))


def fill(module: nn.Module, generator: Generator = "numpy", gain: float = 1) -> None:
    """Fill every parameter of a module by the recipe.

    Args:
        module: its parameters' names choose the values.
        generator: "numpy" gives exactly `random_tensor`; "mlx" draws uniform numbers of the same
            variance on the device, lazily and many times as fast, for models of full size.
        gain: factor of matrices and kernels; below 1, samples of a deep model do not saturate.
    """

    def drawn() -> Iterator[tuple[str, mx.array]]:
        for name, parameter in tree_flatten(module.parameters()):
            if generator == "numpy":
                values = mx.array(random_tensor(name, parameter.shape))
            else:
                values = _scaled(name, _uniform(name, parameter.shape))
            yield name, values * gain if values.ndim > 1 else values

    module.update(tree_unflatten(list(drawn())))


def _scaled(name: str, x: Array) -> Array:
    """Unit random numbers, brought to the size that a parameter of this name has."""
    shape = x.shape
    leaf = name.rpartition(".")[2]
    match leaf:
        case "running_var":
            return 0.5 + 0.5 * abs(x)
        case "running_mean":
            return 0.1 * x
        case "alpha":
            return 1 + 0.2 * abs(x)
        case "cluster_size":
            return abs(x)
        case "weight_g" | "original0":
            return 0.6 + 0.1 * abs(x)
        case "gamma" if len(shape) == 1 and "convnext" in name:
            return 0.3 + 0.05 * x
        case "gamma":
            return 1 + 0.1 * x
        case "bias" | "shift":
            return 0.02 * x
        case "masked_spec_embed":
            return x
        case "weight" | "scale" if len(shape) == 1:
            return 1 + 0.1 * x
        case "latents":
            return 0.5 * x
    if "codebook" in name:
        return x
    if "embed_tokens" in name or "lm_head" in name:
        x *= 0.05
        return x
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    x *= 1 / math.sqrt(fan_in)
    return x


def _normal(random: np.random.RandomState, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Standard normal float32 numbers, drawn in pieces: a float64 embedding would be 1.2 GB."""
    flat = np.empty(math.prod(shape), dtype=np.float32)
    for start in range(0, flat.size, 1 << 20):
        piece = flat[start : start + (1 << 20)]
        piece[:] = random.standard_normal(piece.size)
    return flat.reshape(shape)


def _uniform(name: str, shape: Sequence[int]) -> mx.array:
    """Uniform numbers of variance 1, not yet computed."""
    bound = math.sqrt(3)
    return mx.random.uniform(-bound, bound, shape, key=mx.random.key(zlib.crc32(name.encode())))
