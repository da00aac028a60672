"""`spark-mlx download`, and how commands load their model."""

from __future__ import annotations

import argparse
import sys

from spark_mlx import hub
from spark_mlx.pipeline import SparkTTS, load


def load_model(args: argparse.Namespace) -> SparkTTS:
    """The model that `--model` and `--dtype` ask for."""
    return load(args.model, dtype=args.dtype)


def download(args: argparse.Namespace) -> int:
    folder = hub.download(
        dtype=args.dtype,
        quantize=args.quantize,
        force=args.force,
        keep_source=args.keep_source,
        progress=sys.stderr.isatty(),
        say=lambda line: print(line, file=sys.stderr),
    )
    print(folder)
    return 0
