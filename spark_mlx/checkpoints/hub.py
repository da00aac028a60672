"""Resolve a model: a folder, a hub id or nothing → a folder on this machine.

The published checkpoint has to be converted: `spark_mlx.convert.published` fetches that.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from spark_mlx import paths
from spark_mlx.checkpoints.fetch import check, fetch
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.model_files import CONFIG_FILE, MODEL_FILES, check_whole
from spark_mlx.errors import ModelError, SparkError

REPO = "SparkAudio/Spark-TTS-0.5B"
VARIABLE = "SPARK_MLX_MODEL"

# Models that the published checkpoint can become: (dtype, bits) → name of the folder.
FOLDERS = {
    ("float32", None): "Spark-TTS-0.5B",
    ("float32", 8): "Spark-TTS-0.5B-8bit",
    ("float32", 4): "Spark-TTS-0.5B-4bit",
    ("bfloat16", None): "Spark-TTS-0.5B-bfloat16",
    ("bfloat16", 8): "Spark-TTS-0.5B-bfloat16-8bit",
    ("bfloat16", 4): "Spark-TTS-0.5B-bfloat16-4bit",
}
# The small model that comes with the package.
BUILT_IN = Path(__file__).parents[1] / "nano"


def resolve(model: str | Path | None) -> Path:
    """Find the folder of a model, fetching it if a hub id asks for that.

    Args:
        model: a model folder; a hub id, "owner/name", of a repository that holds one; None for the
            default model: `$SPARK_MLX_MODEL` (a folder or hub id), else the model last asked of
            `spark-mlx download`, else the small model that comes with the package.

    Raises:
        ModelError: there is no such model, or it is not converted.
        DownloadError: the hub does not deliver it.
    """
    if model is not None:
        return _named(model)
    if chosen := os.environ.get(VARIABLE):
        try:
            return _named(chosen)
        except SparkError as error:
            raise type(error)(f"${VARIABLE}: {error}") from error
    if downloaded := _downloaded():
        return downloaded
    if (BUILT_IN / CONFIG_FILE).is_file():
        return BUILT_IN
    raise ModelError(
        "there is no model on this machine yet; fetch the published one (3.9 GB) with: "
        "spark-mlx download"
    )


def is_complete(folder: Path) -> bool:
    """Whether a model is there, whole and in the format that this version reads."""
    try:
        ModelConfig.load(folder)
        check_whole(folder)
    except ModelError:
        return False
    return True


def _named(model: str | Path) -> Path:
    """The folder of a model given by its folder or hub id."""
    folder = paths.expand_user(model)
    if folder.is_dir():
        if (folder / "BiCodec").is_dir() and not (folder / CONFIG_FILE).exists():
            command = shlex.join(["spark-mlx", "convert", f"{folder}", f"{folder}-mlx"])
            raise ModelError(f"{folder} is a checkpoint as published; convert it with: {command}")
        return folder
    # A name that begins with a folder is a path with a slip in it, and not meant for the hub.
    if isinstance(model, Path) or model.count("/") != 1 or folder.parent.is_dir():
        raise ModelError(
            f"there is no folder {folder}; a model is a folder that spark-mlx convert wrote, "
            "or a hub id: owner/name"
        )
    if model != REPO:
        return _fetched(model)
    if downloaded := _downloaded():
        return downloaded
    raise ModelError(f"{REPO} is not on this machine yet; fetch it with: spark-mlx download")


def _fetched(repo: str) -> Path:
    """Fetch a repository that holds a model folder into the hub client's own cache.

    Its configuration comes first: a repository of something else is not worth gigabytes.
    """
    folder = fetch(repo, [CONFIG_FILE])
    try:
        ModelConfig.load(folder)
    except ModelError as error:
        raise ModelError(
            f"{repo} on the hub holds no model that this version of spark-mlx reads; "
            "the published one is fetched and converted with: spark-mlx download"
        ) from error
    # By the commit that the folder is called after: a push in between must not mix two models.
    folder = fetch(repo, MODEL_FILES, revision=folder.name)
    _check_once(folder, MODEL_FILES)
    check_whole(folder)
    return folder


def _check_once(folder: Path, names: Sequence[str]) -> None:
    """Compare fetched files with the hub's hashes, unless that was done since they last changed."""
    files = [folder / name for name in names if (folder / name).is_file()]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    digest = hashlib.sha256(json.dumps(stats).encode()).hexdigest()
    mark = paths.home() / "checked" / digest
    if len(files) == len(names) and mark.exists():
        return
    check(folder, names)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return  # in a cache that may only be read they are compared each time


def _downloaded() -> Path | None:
    """The complete model that `spark-mlx download` was last asked for; None without any."""
    found = [path for name in FOLDERS.values() if is_complete(path := paths.models() / name)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
