"""Mutations of JSON-like values, drawn with a fixed seed."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

# Values that a setting may be changed to: every type, and the edges of numbers.
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "7", [], {}, [0], [[]], {"a": 1}),
    *(-1, 0, 1, 2, 3, 5, 7, 48, 63, 64, 65, 1000, 65_536, 10**6, 2**31, 2**63, 10**30),
    *(0.5, -0.5, 1e-30, 1e30, math.nan, math.inf, -math.inf),
    *([1] * 100, [2] * 3, [10**9], [-1, 1], ["x"], "\x1b[2J" + "x" * 5000),
)


def leaves(tree: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all values that are no tables."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def changed(tree: Any, path: Path, value: Any) -> Any:
    """A copy of a tree with another value at a path."""
    tree = copy.deepcopy(tree)
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return tree


def mutations(tree: Any, count: int, seed: int) -> Iterator[tuple[Path, Any, Any]]:
    """Paths, values, and the tree with that value; one in ten lacks a key or has another table."""
    draw = random.Random(seed)
    paths = list(leaves(tree))
    for _ in range(count):
        path = draw.choice(paths)
        if draw.random() < 0.1:
            path = path[: draw.randint(1, len(path))]
        value = draw.choice(VALUES)
        if isinstance(value, int) and not isinstance(value, bool) and draw.random() < 0.2:
            value = draw.randint(-10, 5000)
        yield path, value, changed(tree, path, value)
