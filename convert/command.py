"""The command line of the converter, for `spark-mlx convert` and `python -m spark_mlx.convert`.

Knows nothing that takes long to import, so that a help text is there at once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_QUANTIZE = "bits of the language model's linear layers and embedding"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the converter's arguments to a parser."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="a checkpoint in the layout of SparkAudio/Spark-TTS-0.5B",
    )
    parser.add_argument("destination", type=Path, metavar="DST", help="the model folder to write")
    _add_dtype(parser)
    parser.add_argument(
        "--quantize", type=int, choices=[8, 4], help=f"{_QUANTIZE} (default: not quantised)"
    )
    parser.add_argument("--force", action="store_true", help="replace a model folder at DST")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the options of `spark-mlx download` for storing a model."""
    _add_dtype(parser)
    parser.add_argument(
        "--quantize",
        choices=["auto", "8", "4", "none"],
        default="auto",
        help=f"{_QUANTIZE} (default: 8 on a CPU, none on a GPU)",
    )


def _add_dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help="type of the language model's weights (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Convert and print the report; errors are the caller's."""
    from spark_mlx.convert import convert

    report = convert(
        arguments.source,
        arguments.destination,
        dtype=arguments.dtype,
        quantize=arguments.quantize,
        overwrite=arguments.force,
        progress=sys.stderr.isatty(),
    )
    print(report)
    return 0
