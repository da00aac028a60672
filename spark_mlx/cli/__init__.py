"""The `spark-mlx` command: parsing, and how errors become one line and an exit status.

Sound, JSON and answers go to stdout; progress, notes and errors to stderr. Exit status 1 is a
refusal or a failure, 2 a mistake in the command line, 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO, cast

from spark_mlx.cli.parser import build_parser
from spark_mlx.cli.printing import note
from spark_mlx.errors import SparkError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    stdout = CheckedStdout(sys.stdout)
    status = 0
    with contextlib.redirect_stdout(cast(TextIO, stdout)):
        try:
            try:
                status = _run(argv)
            finally:  # also of the text of --help, after which argparse ends the process
                stdout.flush()
        except SystemExit:
            if stdout.error is None:  # of a write that argparse swallows
                raise
        except BrokenPipeError as error:
            stdout.error = error
        except OSError:
            if stdout.error is None:
                raise
        if stdout.error is None:
            return status
    # Point stdout at nothing, or Python would complain when it flushes its buffer at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # A reader that left has what it wanted, and a failure was told of already.
    if status == 0 and not isinstance(stdout.error, BrokenPipeError):
        reason = stdout.error.strerror or stdout.error
        note(f"cannot write the output: {reason}")
    return status or 1


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks for completions of a line
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(argv)
    if args.debug:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        # Each command is a module that is imported only when it runs: MLX takes its time.
        status: int = getattr(importlib.import_module(args.module), args.function)(args)
        return status
    except SparkError as error:
        if args.debug:
            raise
        note(error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130


class CheckedStdout:
    """stdout that remembers its first error.

    Attributes:
        error: why it refused a write; None while it takes everything.
    """

    def __init__(self, stream: TextIO) -> None:
        self.error: OSError | None = None
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._noted():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._noted():
            self._stream.flush()

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            raise
