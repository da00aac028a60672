"""Folders where spark-mlx keeps its files, and writing a file whole or not at all.

Models can be fetched or converted again, so they live in a cache folder. Saved voices cannot,
so they live with the user's data and outlast a cleaned cache. State (bookmarks, marks of notes
that were shown) and voices are private to their owner.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path

from platformdirs.api import PlatformDirsABC

_APP = "spark-mlx"


def home() -> Path:
    """The folder of everything replaceable: `$SPARK_MLX_HOME`, else the platform's cache."""
    return _chosen() or _platform().user_cache_path


def models() -> Path:
    """The folder of converted models."""
    return home() / "models"


def voices() -> Path:
    """The folder of the user's voices: under `$SPARK_MLX_HOME`, else the platform's data folder."""
    chosen = _chosen()
    return (chosen or _platform().user_data_path) / "voices"


def state() -> Path:
    """The folder of state that outlasts a run, such as bookmarks."""
    if (chosen := _chosen()) is not None:
        return chosen / "state"
    folder = _platform().user_state_path
    # On macOS state and data share a folder.
    return folder / "state" if sys.platform == "darwin" else folder


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Expand `~` as a shell does: the name of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111, Path.expanduser raises for that


def make_private(folder: Path) -> None:
    """Make a folder that its owner alone may enter; take other users' rights from an existing one.

    Its files lose those rights too, so state that an older version wrote is covered.

    Raises:
        OSError: the folder cannot be made or read, or belongs to somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (folder, *folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # another process may have removed it
            mode = path.lstat().st_mode
            if mode & 0o077 and (stat.S_ISREG(mode) or path == folder):
                path.chmod(stat.S_IMODE(mode) & 0o700)


def write_whole(path: str | os.PathLike[str], data: bytes, *, private: bool = False) -> None:
    """Write `data` to `path` so that the file is either complete or as it was before.

    The bytes go to a hidden neighbour that is renamed at the end; an error or Ctrl-C removes it.
    A symbolic link is followed. A device or pipe, which must not be replaced, is written directly.

    Args:
        path: the file.
        data: all of its bytes.
        private: create it with mode 0600, whatever the umask.

    Raises:
        OSError: the folder is missing or may not be written, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    part = target.parent / f".spark-mlx-{secrets.token_hex(8)}.part"
    try:
        mode = 0o600 if private else 0o666
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, mode), "wb") as file:
            file.write(data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _platform() -> PlatformDirsABC:
    """The platform's folders; the XDG variables go first."""
    if sys.platform == "darwin":
        from platformdirs.macos import MacOS

        return MacOS(_APP)
    from platformdirs.unix import Unix

    return Unix(_APP)


def _chosen() -> Path | None:
    """`$SPARK_MLX_HOME`, or None when it is unset or empty."""
    value = os.environ.get("SPARK_MLX_HOME", "")
    return expand_user(value) if value else None
