"""Which folder a model lies in, and how the published one gets onto this machine.

    a folder, a hub id, or None  → resolve  → a model folder
    the published checkpoint     → download → fetched, checked, converted into the cache

Knows which files are wanted; `fetch` knows how the hub gives them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from spark_mlx import paths
from spark_mlx.checkpoints.fetch import check, fetch
from spark_mlx.checkpoints.model_config import CONFIG_FILE, ModelConfig
from spark_mlx.errors import ConfigError, ModelError, SparkError
from spark_mlx.generation.vocabulary import TOKENIZER_FILE

log = logging.getLogger(__name__)

REPO = "SparkAudio/Spark-TTS-0.5B"
# What this package was written and checked against; a branch could change under it.
REVISION = "642071559bfc6346c2359d19dcb6be3f9dd8a05d"
LICENCE = (
    "The weights of Spark-TTS-0.5B are licensed under CC BY-NC-SA 4.0: credit SparkAudio, no "
    "commercial use, share what you make of them under the same terms. Its code is Apache-2.0."
)
VARIABLE = "SPARK_MLX_MODEL"
AUTO_QUANTIZE = (
    "On a CPU the language model is stored in 8 bits a weight, which makes it faster than speech. "
    "What that costs was measured on the small model alone, whose words and pitch stayed within "
    "chance (docs/nano.md). --quantize none stores what was published."
)

# All that a conversion reads; the repository holds more.
PUBLISHED_FILES = (
    "config.yaml",
    "LLM/config.json",
    "LLM/tokenizer.json",
    "LLM/model.safetensors",
    "BiCodec/config.yaml",
    "BiCodec/model.safetensors",
    "wav2vec2-large-xlsr-53/config.json",
    "wav2vec2-large-xlsr-53/pytorch_model.bin",
)

# What the published checkpoint can become: (dtype, bits) → name of the model's folder.
_FOLDERS = {
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
    """Finds the folder of a model, fetching it if a hub id asks for that.

    Args:
        model: a model folder; a hub id, "owner/name", of a repository that holds one; None for the
            default model: `$SPARK_MLX_MODEL` (a folder or hub id), else what `download` was last
            asked for, else the small model that comes with the package.

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


def download(
    *,
    dtype: str = "float32",
    quantize: int | Literal["auto"] | None = "auto",
    force: bool = False,
    keep_source: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = log.info,
) -> Path:
    """Fetches the published checkpoint and converts it; from then on it is the default model.

    A model that is there already is given back at once. What is fetched does not go to the hub
    client's own cache but to a folder of spark-mlx, so that it can be removed afterwards: 3.9 GB
    that nothing reads again. After an error or Ctrl-C it stays, and the next call goes on from it.

    Args:
        dtype: what the language model is stored in, "float32" or "bfloat16".
        quantize: bits of its quantised layers, 8 or 4; None to quantise nothing; "auto" for 8 on a
            CPU, where they make it faster than speech, and None on a GPU.
        force: convert, and fetch what that needs, even if the model is there.
        keep_source: keep what was fetched, for a conversion with another `dtype` or `quantize`.
        progress: whether to draw bars on stderr.
        say: is given a line before each step, the licence first.

    Raises:
        ConfigError: there is no such `dtype` or `quantize`.
        DownloadError: the hub does not deliver the checkpoint whole, or the disk is full.
        ModelError: the checkpoint cannot be converted, or the model not be written.
    """
    bits = _fastest_bits() if quantize == "auto" else quantize
    if (dtype, bits) not in _FOLDERS:
        raise ConfigError(
            "a model is stored in float32 or bfloat16, quantised to 8 or 4 bits or not; "
            f"dtype={dtype!r} with quantize={bits!r} is neither"
        )
    destination = paths.models() / _FOLDERS[dtype, bits]
    if not force and _is_readable(destination):
        with contextlib.suppress(OSError):  # in a cache that may only be read, all is as it was
            destination.touch()
        return destination
    # Not above: the converter reads YAML, and a model that speaks never needs that.
    from spark_mlx.convert import convert

    fetched = paths.home() / "fetched"
    say(LICENCE)
    if quantize == "auto" and bits is not None:
        say(AUTO_QUANTIZE)
    say(f"Fetching {REPO} (3.9 GB) …")
    source = fetch(REPO, PUBLISHED_FILES, revision=REVISION, cache=fetched, progress=progress)
    check(source, PUBLISHED_FILES)
    say("Converting it …")
    convert(source, destination, dtype=dtype, quantize=bits, overwrite=True, progress=progress)
    if not keep_source:
        shutil.rmtree(fetched, ignore_errors=True)
    return destination


def _fastest_bits() -> int | None:
    """Of weights, on this device."""
    # Not above: it imports MLX, which finding a folder does without.
    from spark_mlx.backends.cpu import ops

    return 8 if ops.in_use() else None


def _named(model: str | Path) -> Path:
    """The folder of a model that was given by its folder or hub id."""
    folder = Path(model).expanduser()
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
    """Fetches a repository that holds a model folder into the hub client's own cache.

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
    return fetch(repo, [CONFIG_FILE, TOKENIZER_FILE, "*.safetensors"], revision=folder.name)


def _downloaded() -> Path | None:
    """Of the models that `download` wrote, the one it was last asked for; None without any."""
    found = [path for name in _FOLDERS.values() if _is_readable(path := paths.models() / name)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _is_readable(folder: Path) -> bool:
    """Whether a model is there, in the format that this version reads."""
    try:
        ModelConfig.load(folder)
    except ModelError:
        return False
    return True
