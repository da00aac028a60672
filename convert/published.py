"""Fetch the published checkpoint and convert it into the cache: the default model from then on."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from spark_mlx import paths
from spark_mlx.checkpoints.fetch import check, fetch
from spark_mlx.checkpoints.hub import FOLDERS, REPO, is_complete
from spark_mlx.errors import ConfigError, DownloadError

log = logging.getLogger(__name__)

# The commit that this package was written and checked against; a branch could change under it.
REVISION = "642071559bfc6346c2359d19dcb6be3f9dd8a05d"
LICENCE = (
    "The weights of Spark-TTS-0.5B are licensed under CC BY-NC-SA 4.0: credit SparkAudio, no "
    "commercial use, share what you make of them under the same terms. Its code is Apache-2.0."
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


def download(
    *,
    dtype: str = "float32",
    quantize: int | None = None,
    force: bool = False,
    keep_source: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = log.info,
) -> Path:
    """Fetch the published checkpoint and convert it.

    A model that is there, whole, is returned at once. The files go to a folder of spark-mlx instead
    of the hub client's own cache, so that they can be removed afterwards: 3.9 GB that nothing reads
    again. After an error or Ctrl-C they stay, and the next call goes on from there. A second
    process waits for the first, and finds its model.

    Args:
        dtype: type the language model is stored in, "float32" or "bfloat16".
        quantize: bits of its quantised layers, 8 or 4; None to quantise nothing.
        force: convert, and fetch the files for it, even if the model is there.
        keep_source: keep the fetched files, for a conversion with another `dtype` or `quantize`.
        progress: whether to draw bars on stderr.
        say: called with a line before each step, the licence first.

    Raises:
        ConfigError: there is no such `dtype` or `quantize`.
        DownloadError: the hub does not deliver the checkpoint whole, or the disk is full.
        ModelError: the checkpoint cannot be converted, or the model cannot be written.
    """
    if (dtype, quantize) not in FOLDERS:
        raise ConfigError(
            "a model is stored in float32 or bfloat16, quantised to 8 or 4 bits or not; "
            f"dtype={dtype!r} with quantize={quantize!r} is neither"
        )
    destination = paths.models() / FOLDERS[dtype, quantize]
    if not force and _is_there(destination):
        return destination
    from spark_mlx.convert.converter import convert  # imports MLX

    with _locked(paths.home(), say):
        if not force and _is_there(destination):
            return destination
        fetched = paths.home() / "fetched"
        say(LICENCE)
        say(f"Fetching {REPO} (3.9 GB) …")
        source = fetch(REPO, PUBLISHED_FILES, revision=REVISION, cache=fetched, progress=progress)
        check(source, PUBLISHED_FILES)
        say("Converting it …")
        convert(
            source, destination, dtype=dtype, quantize=quantize, overwrite=True, progress=progress
        )
        if not keep_source:
            shutil.rmtree(fetched, ignore_errors=True)
    return destination


def _is_there(destination: Path) -> bool:
    """Whether the model is complete; if so it becomes the one last asked for."""
    if not is_complete(destination):
        return False
    with contextlib.suppress(OSError):  # in a cache that may only be read, all is as it was
        destination.touch()
    return True


@contextlib.contextmanager
def _locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time fetch and convert; the system frees the lock however one ends."""
    path = folder / ".download.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DownloadError(
            f"cannot write {path} ({error.strerror}); choose another place (SPARK_MLX_HOME)"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another spark-mlx is downloading; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
