"""What both trainings share: memory, rates, a careful update, averaged weights, time, the curve."""

from __future__ import annotations

import csv
import ctypes
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_map, tree_unflatten

Tree = dict[str, Any]


def keep_memory() -> None:
    """Makes the C library keep freed memory for the next step, on Linux.

    It would return large arrays to the system at once, which then has to clear the same pages again
    for the next array: a third of the time of the language model's training.
    """
    if sys.platform == "linux":
        trim_threshold, largest_mapping = -1, -4  # of malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(largest_mapping, 0)
        libc.mallopt(trim_threshold, -1)  # none at all


def cosine(step: int, steps: int, peak: float, warm_up: int, last: float = 0.05) -> float:
    """The learning rate of a step: up in a line, then down in half a cosine to `last` · peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    way = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * (last + (1 - last) * (1 + math.cos(math.pi * way)) / 2)


def update(
    module: nn.Module,
    optimiser: optim.Optimizer,
    gradients: Tree,
    rate: float,
    largest: float,
    weight_decay: float = 0.0,
) -> float:
    """One step, with gradients clipped to a norm; matrices decay, scales and biases do not.

    Returns: the norm before clipping. If it is not finite, nothing was changed.
    """
    clipped, norm = optim.clip_grad_norm(gradients, largest)
    size = float(norm.item())
    if not math.isfinite(size):
        return size
    if weight_decay:
        kept = 1 - rate * weight_decay
        matrices = [
            (name, p * kept)
            for name, p in tree_flatten(module.trainable_parameters())
            if p.ndim > 1
        ]
        module.update(tree_unflatten(matrices))
    optimiser.learning_rate = rate
    optimiser.update(module, clipped)
    mx.eval(module.parameters(), optimiser.state)
    return size


def averaged(average: Tree, module: nn.Module, step: int, decay: float = 0.999) -> Tree:
    """The running mean of a module's parameters, shorter while there are few to average."""
    decay = min(decay, (1 + step) / (10 + step))
    # In this form a parameter that is not trained keeps its very bits.
    mean: Tree = tree_map(lambda a, p: a + (1 - decay) * (p - a), average, module.parameters())
    mx.eval(mean)
    return mean


class Clock:
    """How long this run has taken, and when it is time to save or to stop."""

    def __init__(self, minutes: float | None, every: float) -> None:
        self._start = self._saved = time.monotonic()
        self._minutes, self._every = minutes, every

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def over(self) -> bool:
        return self._minutes is not None and self.seconds > 60 * self._minutes

    def save_now(self) -> bool:
        """True once every so many minutes."""
        if time.monotonic() - self._saved < 60 * self._every:
            return False
        self._saved = time.monotonic()
        return True


class Curve:
    """A CSV file of losses, a row for each report, and the same on stderr.

    Rows are (step, seconds, kind, name, value), so that phases may have losses of their own.

    Args:
        step: the step that training goes on from; later rows, of work that was lost, are dropped.
    """

    HEADER = ("step", "seconds", "kind", "name", "value")

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        rows: list[list[str]] = []
        if path.exists() and step:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in list(csv.reader(file))[1:] if int(row[0]) <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self.HEADER, *rows])

    def add(self, step: int, seconds: float, kind: str, values: Mapping[str, float]) -> None:
        with self._path.open("a", newline="", encoding="utf-8") as file:
            rows = [(step, f"{seconds:.1f}", kind, name, f"{v:.6g}") for name, v in values.items()]
            csv.writer(file).writerows(rows)
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        print(f"{step:7d}  {seconds / 60:7.1f} min  {kind}  {numbers}", file=sys.stderr, flush=True)
