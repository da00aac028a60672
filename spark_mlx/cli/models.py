"""`spark-mlx download`, and how commands load their model."""

from __future__ import annotations

import argparse
import contextlib
import sys

from spark_mlx import backends, paths
from spark_mlx.checkpoints import hub
from spark_mlx.convert import published
from spark_mlx.tts import SparkTTS, load


def load_model(args: argparse.Namespace) -> SparkTTS:
    """The model that `--model` and `--dtype` ask for."""
    return load(args.model, dtype=args.dtype)


def mention_built_in(args: argparse.Namespace) -> None:
    """Says, the first time, that the small model speaks and how to get the real one."""
    mark = paths.state() / "nano-mentioned"
    # First what costs nothing: a hub id would be looked up here, and again to load it.
    if not hub.BUILT_IN.is_dir() or mark.exists() or hub.resolve(args.model) != hub.BUILT_IN:
        return
    print(
        "spark-mlx: this is nano, the small model that comes with spark-mlx, with the voices of "
        "espeak-ng; for Spark-TTS itself: spark-mlx download",
        file=sys.stderr,
    )
    with contextlib.suppress(OSError):  # then it is said again
        paths.make_private(mark.parent)
        mark.touch(mode=0o600)


AUTO_QUANTIZE = (
    "On a CPU the language model is stored in 8 bits a weight, which makes it faster than speech. "
    "The cost was measured on the small model alone, whose words and pitch stayed within chance "
    "(docs/nano.md). --quantize none stores the weights as published."
)


def download(args: argparse.Namespace) -> int:
    chosen = {"8": 8, "4": 4, "none": None}
    auto = args.quantize == "auto"
    bits = backends.choose().default_bits if auto else chosen[args.quantize]
    if auto and bits is not None:
        print(AUTO_QUANTIZE, file=sys.stderr)
    folder = published.download(
        dtype=args.dtype,
        quantize=bits,
        force=args.force,
        keep_source=args.keep_source,
        progress=sys.stderr.isatty(),
        say=lambda line: print(line, file=sys.stderr),
    )
    print(folder)
    return 0
