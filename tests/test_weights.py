"""A file of weights fills a module, or is refused by the tensor that does not fit."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from spark_mlx.checkpoints.weights import load_weights
from spark_mlx.errors import ModelError


def module(quantized: bool = False) -> nn.Module:
    layers = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    if quantized:
        nn.quantize(layers, bits=8)
    return layers


def saved(path: Path, quantized: bool = False, **changes: mx.array) -> Path:
    tensors = dict(tree_flatten(module(quantized).parameters()))
    tensors.update({name.replace("__", "."): array for name, array in changes.items()})
    mx.save_safetensors(str(path), tensors)
    return path


@pytest.mark.parametrize("quantized", [False, True])
def test_weights_of_the_right_kinds_are_taken(tmp_path: Path, quantized: bool) -> None:
    half = mx.full((64,), 0.5, mx.bfloat16)
    path = saved(tmp_path / "w.safetensors", quantized, layers__1__bias=half)
    target = module(quantized)
    load_weights(target, path)
    assert np.array(target.layers[1].bias.astype(mx.float32)).tolist() == [0.5] * 64


@pytest.mark.parametrize(
    ("quantized", "name", "shape", "dtype", "expected"),
    [
        (False, "layers__0__weight", (64, 64), mx.int32, "floats"),
        (False, "layers__1__bias", (64,), mx.uint8, "floats"),
        (True, "layers__0__scales", (64, 1), mx.uint32, "floats"),
        (True, "layers__0__weight", (64, 16), mx.float32, "uint32"),
        (True, "layers__0__weight", (64, 16), mx.int32, "uint32"),
        (True, "layers__0__weight", (64, 16), mx.uint8, "uint32"),
    ],
)
def test_a_tensor_of_another_kind_is_named(
    tmp_path: Path,
    quantized: bool,
    name: str,
    shape: tuple[int, ...],
    dtype: mx.Dtype,
    expected: str,
) -> None:
    path = saved(tmp_path / "w.safetensors", quantized, **{name: mx.zeros(shape, dtype)})
    with pytest.raises(ModelError) as caught:
        load_weights(module(quantized), path)
    named = name.replace("__", ".")
    assert f"{named} holds {dtype} and should hold" in str(caught.value)
    assert expected in str(caught.value)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", layers__0__bias=mx.zeros((63,)))
    with pytest.raises(ModelError, match=r"layers\.0\.bias has shape \(63,\)"):
        load_weights(module(), path)
