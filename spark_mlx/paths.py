"""Where spark-mlx keeps its files, and how a file is written whole or not at all.

Models can be fetched or converted again, so they live in a cache folder. Saved voices cannot,
so they live with the user's data and outlast a cleaned cache.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path


def home() -> Path:
    """The folder of everything replaceable: `$SPARK_MLX_HOME`, else the platform's cache."""
    chosen = _chosen()
    if chosen is not None:
        return chosen
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "spark-mlx"
    return _xdg("XDG_CACHE_HOME", ".cache") / "spark-mlx"


def models() -> Path:
    """The folder of converted models."""
    return home() / "models"


def voices() -> Path:
    """The folder of the user's voices: under `$SPARK_MLX_HOME`, else the platform's data folder."""
    chosen = _chosen()
    if chosen is not None:
        return chosen / "voices"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "spark-mlx" / "voices"
    return _xdg("XDG_DATA_HOME", ".local/share") / "spark-mlx" / "voices"


def state() -> Path:
    """The folder of what is remembered from one time to the next, such as places in documents."""
    chosen = _chosen()
    if chosen is not None:
        return chosen / "state"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "spark-mlx" / "state"
    return _xdg("XDG_STATE_HOME", ".local/state") / "spark-mlx"


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` to `path` so that the file is either complete or as it was before.

    The bytes go to a hidden neighbour that is renamed at the end; an error or Ctrl-C removes it.
    A symbolic link is followed. A device or pipe, which must not be replaced, is written directly.

    Raises:
        OSError: the folder is missing or may not be written, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    part = target.parent / f".spark-mlx-{secrets.token_hex(8)}.part"
    try:
        part.write_bytes(data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _chosen() -> Path | None:
    """`$SPARK_MLX_HOME`, or None when it is unset or empty."""
    value = os.environ.get("SPARK_MLX_HOME", "")
    return Path(value).expanduser() if value else None


def _xdg(variable: str, default: str) -> Path:
    """The folder `variable` names, else `default` under the user's home.

    The XDG base directory specification says to ignore a relative path.
    """
    value = Path(os.environ.get(variable, ""))
    return value if value.is_absolute() else Path.home() / default
