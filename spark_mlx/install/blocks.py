"""A block of our lines between two marks in a file of the user.

bytes → bytes, with the block or without it; all other bytes stay as they are
"""

from __future__ import annotations

import os
import re
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
# An editor may have given the file other line ends.
_BEGIN_LINE = re.compile(rb"^%s\r?$\n?" % re.escape(BEGIN.strip()), re.MULTILINE)
_BLOCK = re.compile(
    rb"^%s\r?\n(.*?)^%s[ \t]*(?:\r?\n|\Z)" % (re.escape(BEGIN.strip()), re.escape(END.strip())),
    re.DOTALL | re.MULTILINE,
)


def with_block(data: bytes, lines: list[str]) -> bytes:
    """Replace the block of a file, or append one."""
    rest = without_block(data)
    ours = BEGIN + "".join(f"{line}\n" for line in lines).encode() + END
    if rest and not rest.endswith(b"\n"):
        return rest + b"\n" + ours.replace(BEGIN, BEGIN + _NO_END)
    return rest + ours


def without_block(data: bytes) -> bytes:
    """Take the block out of a file; lines that were added after it stay."""
    found = _BLOCK.search(data)
    if found is None:
        return data
    before, after = data[: found.start()], data[found.end() :]
    if not after and found[1].startswith(_NO_END.strip()):
        before = before.removesuffix(b"\n").removesuffix(b"\r")
    return before + after


def block(data: bytes) -> list[str]:
    """The lines between the marks; none where there are no marks."""
    found = _BLOCK.search(data)
    return [] if found is None else found[1].decode("utf-8", "replace").splitlines()


def read(path: Path) -> bytes | None:
    """A file's bytes, or None where there is none.

    Raises:
        InstallError: it cannot be read, or one of the marks in it is gone, so that nothing tells
            our lines from the user's.
    """
    try:
        data = path.read_bytes()
        begins = len(_BEGIN_LINE.findall(data))
        if begins > 1 or (begins and not _BLOCK.search(data)):
            raise InstallError(
                f"{path}: the block of spark-mlx has lost its end; remove the line "
                f"{BEGIN.decode().strip()!r} and the lines of spark-mlx after it by hand"
            )
        return data
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallError(f"cannot read {path}: {error.strerror or error}") from error


def write(path: Path, data: bytes, executable: bool = False) -> None:
    """Write a file whole, with the folders it needs; its permissions stay.

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
    """Make a folder, if it is not there.

    Raises:
        InstallError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InstallError(f"cannot make {folder}: {error.strerror or error}") from error


def remove(path: Path, *folders: Path) -> None:
    """Remove a file if it is there, then those of the folders that are empty.

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
    """Shell words for one of our commands, found without a PATH.

    Args:
        script: the command.
        module: what to run where there is no such command, as in a folder of sources.
    """
    path = Path(sysconfig.get_path("scripts")) / script
    words = [str(path)] if os.access(path, os.X_OK) else [sys.executable, "-m", module]
    return shlex.join(words)
