"""`spark-mlx download` and `convert`, and how commands load their model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spark_mlx import hub
from spark_mlx.convert import convert as convert_checkpoint
from spark_mlx.pipeline import SparkTTS, load


def load_model(args: argparse.Namespace) -> SparkTTS:
    """The model that `--model` and `--dtype` ask for."""
    return load(args.model, dtype=args.dtype)


def download(args: argparse.Namespace) -> int:
    folder = hub.download(
        dtype=args.dtype,
        quantize=args.quantize,
        force=args.force,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(folder)
    return 0


def convert(args: argparse.Namespace) -> int:
    report = convert_checkpoint(
        Path(args.source),
        Path(args.destination),
        dtype=args.dtype,
        quantize=args.quantize,
        overwrite=args.force,
        progress=True,
    )
    print(report)
    return 0
