"""What both trainings share: their pace, their curves and their checkpoints."""

from __future__ import annotations

import csv
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

Made = TypeVar("Made")


def cosine(step: int, steps: int, warm_up: int, last: float = 0.05) -> float:
    """The share of the highest learning rate: up in a line, then down in half a cosine."""
    if step < warm_up:
        return (step + 1) / warm_up
    way = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return last + (1 - last) * (1 + math.cos(math.pi * way)) / 2


def again(step: int, began: int, warm_up: int) -> float:
    """A share of the rate for an optimiser that knows nothing yet at step `began`."""
    return min(1.0, (step - began + 1) / warm_up)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def average(mean: dict[str, torch.Tensor], module: nn.Module, step: int, decay: float) -> None:
    """Moves a running mean of a module's state, shorter while there is little to average."""
    decay = min(decay, (1 + step) / (10 + step))
    state = module.state_dict()
    smooth = [name for name, value in state.items() if value.dtype.is_floating_point]
    torch._foreach_lerp_([mean[n] for n in smooth], [state[n] for n in smooth], 1 - decay)
    for name in state.keys() - set(smooth):
        mean[name].copy_(state[name])


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of a module's state."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def ahead(make: Callable[[int], Made], first: int) -> Iterator[Made]:
    """make(first), make(first + 1), …, each begun while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, first)
        for step in itertools.count(first + 1):
            ready, coming = coming.result(), pool.submit(make, step)
            yield ready


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(dict(state), part)
    part.replace(path)


def load(path: Path, device: str) -> dict[str, Any]:
    """Reads what `save` wrote; it holds numbers alone, so nothing in it is executed."""
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


class Clock:
    """How long this run has taken, and when it is time to save or to stop."""

    def __init__(self, minutes: float | None, every: float = 3.0) -> None:
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
    """A CSV file of losses, rows of (step, seconds, kind, name, value), and the same on stderr.

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
