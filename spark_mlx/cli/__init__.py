"""The `spark-mlx` command: parsing, and how errors become one line and an exit status.

Sound, JSON and answers go to stdout; progress, notes and errors to stderr. Exit status 1 is a
refusal or a failure, 2 a mistake in the command line, 130 Ctrl-C.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

from spark_mlx.cli.parser import build_parser
from spark_mlx.cli.printing import note
from spark_mlx.errors import SparkError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    args = build_parser().parse_args(argv)
    if args.debug:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        # Each command is a module that is imported only when it runs: MLX takes its time.
        status: int = getattr(importlib.import_module(args.module), args.function)(args)
        sys.stdout.flush()
        return status
    except SparkError as error:
        if args.debug:
            raise
        note(error)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        _drop_stdout()
        return 1
    except OSError as error:
        if args.debug or error.filename is not None:
            raise
        # Files are opened by name, and their errors are SparkErrors: this was stdout.
        _drop_stdout()
        note(f"cannot write the output: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _drop_stdout() -> None:
    """Let the rest of the output go nowhere: Python would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
