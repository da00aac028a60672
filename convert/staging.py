"""Write a folder whole or not at all."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spark_mlx.checkpoints.model_files import CONFIG_FILE
from spark_mlx.errors import ModelError


@contextmanager
def staged(destination: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a new folder beside `destination`, which takes its place when the block ends well.

    When the block ends with any exception, Ctrl-C included, the folder is removed. Each process has
    a folder of its own, and holds a lock on it; folders left by killed processes are known by their
    free locks, and removed by the next run.

    Raises:
        ModelError: the destination is in use by something else, or cannot be written.
    """
    check(destination, overwrite)
    destination = destination.absolute()
    prefix = f".{destination.name}.unfinished-"
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(destination.parent, prefix)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=destination.parent))
        lock = os.open(work, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield work
            work.chmod(0o755)  # mkdtemp makes it for its owner alone
            _put(work, destination)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        raise ModelError(f"cannot write {destination}: {error.strerror or error}") from error


def check(destination: Path, overwrite: bool) -> None:
    """Refuse a destination that a conversion must not replace.

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
    """Move `work` to `destination`; a folder there is put back if the move fails."""
    former = work.with_name(f"{work.name}.former")
    if destination.exists():
        destination.rename(former)
    try:
        work.rename(destination)
    except BaseException:
        if former.exists():
            former.rename(destination)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove the work folders of processes that no longer run."""
    for work in folder.glob(f"{glob.escape(prefix)}*"):
        try:
            lock = os.open(work, os.O_RDONLY)
        except OSError:
            continue  # just removed by its own process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work, ignore_errors=True)
        except BlockingIOError:
            pass  # in use
        finally:
            os.close(lock)
