"""Lines of ours in a file of somebody else's, between two marks.

bytes → bytes, with the block or without it; the rest is not read, and never changed
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
import sysconfig
from pathlib import Path

from spark_mlx.errors import InstallError
from spark_mlx.paths import write_whole

BEGIN = b"# >>> spark-mlx: written by spark-mlx install, removed by spark-mlx uninstall >>>\n"
END = b"# <<< spark-mlx <<<\n"
_NO_END = b"# The line above had no end of its own.\n"


def with_block(data: bytes, lines: list[str]) -> bytes:
    """A file's bytes with these lines at the end of it, instead of those that were ours."""
    rest = without_block(data)
    ours = BEGIN + "".join(f"{line}\n" for line in lines).encode() + END
    if rest and not rest.endswith(b"\n"):
        return rest + b"\n" + ours.replace(BEGIN, BEGIN + _NO_END)
    return rest + ours


def without_block(data: bytes) -> bytes:
    """A file's bytes as they were before, even if something was added after the block."""
    before, found, rest = data.partition(BEGIN)
    if not found:
        return data
    block, _, after = rest.partition(END)
    if not after and block.startswith(_NO_END):
        before = before[:-1]
    return before + after


def block(data: bytes) -> list[str]:
    """The lines between the marks; none where there are no marks."""
    _, found, rest = data.partition(BEGIN)
    return rest.partition(END)[0].decode("utf-8", "replace").splitlines() if found else []


def read(path: Path) -> bytes | None:
    """A file's bytes, or None where there is none.

    Raises:
        InstallError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallError(f"cannot read {path}: {error.strerror or error}") from error


def write(path: Path, data: bytes, executable: bool = False) -> None:
    """Writes a file whole, with the folders it needs; its permissions stay.

    Raises:
        InstallError: it cannot be written.
    """
    make(path.parent)
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
        write_whole(path, data)
        if mode is not None:
            path.chmod(mode)
        if executable:
            path.chmod(0o755)
    except OSError as error:
        raise InstallError(f"cannot write {path}: {error.strerror or error}") from error


def make(folder: Path) -> None:
    """Makes a folder, if it is not there.

    Raises:
        InstallError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InstallError(f"cannot make {folder}: {error.strerror or error}") from error


def remove(path: Path, *folders: Path) -> None:
    """Removes a file if it is there, then those of the folders that are empty.

    Raises:
        InstallError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InstallError(f"cannot remove {path}: {error.strerror or error}") from error
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def command(script: str, module: str) -> str:
    """A shell's words for one of our commands, which is found without any PATH.

    Args:
        script: the command.
        module: what to run where there is no such command, as in a folder of sources.
    """
    path = Path(sysconfig.get_path("scripts")) / script
    words = [str(path)] if os.access(path, os.X_OK) else [sys.executable, "-m", module]
    return shlex.join(words)
