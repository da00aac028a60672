"""`spark-mlx bench`: how fast this machine clones and speaks."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable

from tqdm import tqdm

from spark_mlx.cli.models import load_model
from spark_mlx.diagnostics.bench import Measurement, Results, run
from spark_mlx.errors import UsageError
from spark_mlx.tts import SparkTTS


def bench(args: argparse.Namespace) -> int:
    if args.repeats < 1:
        raise UsageError(f"--repeats is at least 1, not {args.repeats}")
    with tqdm(bar_format="{desc}", leave=False, disable=None, file=sys.stderr) as bar:
        results = run(
            _source(args),
            model=f"random, {args.random}" if args.random else args.model or "default",
            repeats=args.repeats,
            time_load=args.random is None,
            progress=lambda what: bar.set_description_str(f"measuring: {what}"),
        )
    print(json.dumps(results.to_dict(), indent=2) if args.json else table(results))
    return 0


def table(results: Results) -> str:
    """The results as aligned text, below a few lines that say what they hold for."""
    rows = [("", "median", "spread", "unit"), *map(_row, results.measurements)]
    first, second, third = (max(len(row[i]) for row in rows) for i in range(3))
    lines = [
        f"{what:<{first}}  {median:>{second}}  {spread:>{third}}  {unit}"
        for what, median, spread, unit in rows
    ]
    return "\n".join([*_conditions(results), "", *lines])


def _source(args: argparse.Namespace) -> Callable[[], SparkTTS]:
    """What gives the model that the options ask for."""
    if args.random is None:
        if args.quantize is not None:
            raise UsageError("--quantize goes with --random; a model folder is made with it or not")
        return functools.partial(load_model, args)
    from spark_mlx.diagnostics.random_model import random_tts

    return functools.partial(random_tts, args.random, args.dtype or "float32", args.quantize)


def _conditions(results: Results) -> list[str]:
    machine = results.machine
    device = machine.device
    if device == "CPU":
        device += f", products by {machine.products}"
    weights = f"{results.quantize}-bit weights" if results.quantize else results.dtype
    times = max(len(measurement.values) for measurement in results.measurements)
    return [
        f"{machine.system}, {machine.cores} cores, {machine.processor}",
        device,
        ", ".join(f"{name} {version}" for name, version in machine.packages.items()),
        f"model: {results.model}, language model in {weights}, everything measured {times}×",
    ]


def _row(measurement: Measurement) -> tuple[str, str, str, str]:
    low, high = min(measurement.values), max(measurement.values)
    spread = f"{_short(low)} – {_short(high)}" if len(measurement.values) > 1 else ""
    return measurement.what, _short(measurement.median), spread, measurement.unit


def _short(value: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
