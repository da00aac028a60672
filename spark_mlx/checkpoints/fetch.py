"""Fetch files from the hub: a repository and file names → a folder with the whole files.

The hub is asked through its own client, so `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and the
proxy variables work as they do everywhere else, and files that are there are not fetched again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from spark_mlx.checkpoints.response_guard import guarded
from spark_mlx.errors import DownloadError

# The base of all errors of the client's HTTP library, which is httpx or httpx2, as the client's
# version has it.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]


def fetch(
    repo: str,
    names: Sequence[str],
    *,
    revision: str | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> Path:
    """Fetch those files of a repository that are not there yet.

    Args:
        repo: a hub id, "owner/name".
        names: exact names of the files; no patterns.
        revision: a branch, tag or commit; None for the main branch.
        cache: folder to keep the files in; None for the client's own.
        progress: whether to draw the client's bars on stderr.

    Returns:
        The folder of the revision, called after its commit. Offline, files may be missing from it.

    Raises:
        DownloadError: the hub cannot be reached or does not deliver, or the disk is full.
    """
    try:
        with _bars(progress), guarded():
            snapshot = huggingface_hub.snapshot_download(
                repo, revision=revision, cache_dir=cache, allow_patterns=list(names)
            )
            return Path(snapshot)
    # The client's parts report failures differently: HTTP by `_HTTP_ERROR`, files by OSError, the
    # hub's own way of transfer (hf_xet) by RuntimeError, an answer that is no JSON by ValueError.
    except (_HTTP_ERROR, OSError, RuntimeError, ValueError) as error:
        raise DownloadError(f"{repo} could not be fetched: {_reason(error)}") from error


def check(snapshot: Path, names: Sequence[str]) -> None:
    """Check that fetched files are there and have the hub's contents.

    The client compares only lengths. A damaged file is removed, to be fetched again.

    Raises:
        DownloadError: a file is missing or damaged.
    """
    if missing := [name for name in names if not (snapshot / name).is_file()]:
        raise DownloadError(
            f"the hub did not deliver {', '.join(missing)}; check HF_ENDPOINT and the connection, "
            "and run the command again"
        )
    damaged = [name for name in names if _is_damaged(snapshot / name)]
    for name in damaged:
        (snapshot / name).resolve().unlink()
        (snapshot / name).unlink()
    if damaged:
        raise DownloadError(
            f"damaged on the way, and removed: {', '.join(damaged)}; "
            "run the command again: it fetches only what is missing"
        )


def _is_damaged(path: Path) -> bool:
    """Whether the contents of a file in the client's cache differ from the hub's.

    The file is a link to one that is called after its contents: by its SHA-256 or, if it is small,
    by git's hash, a SHA-1. A disk without links has no such names, and nothing to compare with.
    """
    if not path.is_symlink():
        return False
    name = path.readlink().name
    if len(name) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() != name


@contextlib.contextmanager
def _bars(shown: bool) -> Iterator[None]:
    """Hide the client's bars for a while, in the whole process: it knows no other way."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _reason(error: Exception) -> str:
    """Cause and remedy of a failure, in one line."""
    # "Neither on the hub nor in the cache" is raised from what kept the hub from answering.
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    match error:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids asking the hub; unset it and run the command again"
        case GatedRepoError():
            return "its owner admits only some accounts; ask for access, then set HF_TOKEN"
        case RepositoryNotFoundError():
            return "the hub has no such repository for you; check the name and HF_TOKEN"
        case RevisionNotFoundError():
            return "the hub no longer has the revision asked for; update spark-mlx"
        case OSError(errno=errno.ENOSPC):
            return "the disk is full; make room, or choose another (SPARK_MLX_HOME, HF_HOME)"
        case HFValidationError():
            return "that is no hub id; one reads owner/name"
        case HfHubHTTPError():
            pass  # some of these are ValueErrors too
        case OSError(filename=str(path), strerror=str(why)):
            return f"cannot write {path} ({why}); choose another place (SPARK_MLX_HOME, HF_HOME)"
        case FileMetadataError() | ValueError():
            return "what answers is not a hub; check HF_ENDPOINT, the proxy and the network's login"
    first_line = (str(error) or type(error).__name__).strip().partition("\n")[0].rstrip(":. ")
    return (
        f"{first_line}; check the connection, HF_ENDPOINT and HF_TOKEN, and run the command "
        "again: files that came whole are kept"
    )
