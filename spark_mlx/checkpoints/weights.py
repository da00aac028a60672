"""Weight files → modules: every tensor checked by name and shape before one is read."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten
from safetensors import SafetensorError, safe_open

from spark_mlx.errors import ModelError


def load_weights(module: nn.Module, path: Path) -> None:
    """Fills `module` from a safetensors file; the tensors are read when first used.

    Raises:
        ModelError: the file is missing or truncated, or a tensor is missing, unexpected or of
            another shape than the module's.
    """
    found = read_shapes(path)
    expected = {name: tuple(array.shape) for name, array in tree_flatten(module.parameters())}
    remedy = "convert the model again"
    for problem, names in (
        ("lacks", sorted(expected.keys() - found.keys())),
        ("holds what this model does not have:", sorted(found.keys() - expected.keys())),
    ):
        if names:
            raise ModelError(f"{path} {problem} {abridged(names)}; {remedy}")
    for name, shape in expected.items():
        if found[name] != shape:
            raise ModelError(
                f"{path}: {name} has shape {found[name]} and should have {shape}; {remedy}"
            )
    loaded = mx.load(str(path))
    assert isinstance(loaded, dict)  # as it is for every safetensors file
    module.update(tree_unflatten(list(loaded.items())))
    module.eval()


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a safetensors file, which is checked to be whole.

    Raises:
        ModelError: the file is missing, unreadable or truncated.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; convert the model again") from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is damaged ({error}); convert the model again") from error


def abridged(names: list[str], most: int = 5) -> str:
    """A few of many names, for an error message."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
