"""Writes a folder whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spark_mlx.checkpoints.model_config import CONFIG_FILE
from spark_mlx.errors import ModelError


@contextmanager
def staged(destination: Path, overwrite: bool) -> Iterator[Path]:
    """Gives a new folder beside `destination`, which takes its place when the block ends well.

    When the block ends with any exception, Ctrl-C included, the folder is removed. One left by a
    process that was killed is removed by the next run: its name follows from the destination's.

    Raises:
        ModelError: the destination is in use by something else, or cannot be written.
    """
    check(destination, overwrite)
    destination = destination.absolute()
    work = destination.with_name(f".{destination.name}.unfinished")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            yield work
            _put(work, destination)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise ModelError(f"cannot write {destination}: {error.strerror or error}") from error


def check(destination: Path, overwrite: bool) -> None:
    """Refuses a destination that holds what a conversion must not replace.

    Raises:
        ModelError: see above; the message names the remedy.
    """
    try:
        in_use = destination.exists() and (not destination.is_dir() or any(destination.iterdir()))
    except OSError as error:
        raise ModelError(f"cannot read {destination}: {error.strerror or error}") from error
    if not in_use:
        return
    if not (destination / CONFIG_FILE).is_file() or not list(destination.glob("*.safetensors")):
        raise ModelError(
            f"{destination} exists and is not a model folder; choose another name for the result"
        )
    if not overwrite:
        raise ModelError(f"{destination} holds a model already; replace it with --force")


def _put(work: Path, destination: Path) -> None:
    """Moves `work` to `destination`; what is there steps aside until the move has worked."""
    aside = destination.with_name(f".{destination.name}.replaced")
    if destination.exists():
        shutil.rmtree(aside, ignore_errors=True)
        destination.rename(aside)
    try:
        work.rename(destination)
    except BaseException:
        if aside.exists():
            aside.rename(destination)
        raise
    shutil.rmtree(aside, ignore_errors=True)
