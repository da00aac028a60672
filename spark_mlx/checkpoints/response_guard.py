"""Check the hub's answers before its client makes file names of them.

The client names files of its cache after the ETag and the commit that a server sends. A hostile
mirror could send `../../.ssh/authorized_keys`, so every answer is checked here first: hashes and
commits are hexadecimal, ETags plain words.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import huggingface_hub
from huggingface_hub.utils import _http as client_http

from spark_mlx.errors import DownloadError

_ETAG = re.compile(r"(?:W/)?\"?[\w+=-]{1,128}\"?", re.ASCII)
_HASH = re.compile(r"[0-9a-fA-F]{7,128}")
_HEADERS = (("etag", _ETAG), ("x-linked-etag", _ETAG), ("x-repo-commit", _HASH))
_HASH_KEYS = frozenset(("sha", "oid", "lfs_sha256", "xetHash"))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Let the hub's client refuse answers that name files outside its cache.

    The client has one connection pool for the process, so this holds for the whole process.
    """
    # The pool's factory is read from a private module: the client can only set it.
    factory: Callable[[], Any] = client_http._GLOBAL_CLIENT_FACTORY

    def guarding() -> Any:
        session = factory()
        hooks = session.event_hooks
        session.event_hooks = {**hooks, "response": [*hooks.get("response", ()), check]}
        return session

    huggingface_hub.set_client_factory(guarding)
    try:
        yield
    finally:
        huggingface_hub.set_client_factory(factory)


def check(response: Any) -> None:
    """Refuse a response whose headers or listing hold an impossible hash.

    Raises:
        DownloadError: see above.
    """
    for header, pattern in _HEADERS:
        value = response.headers.get(header)
        if value is not None and pattern.fullmatch(value) is None:
            raise _refused(header, value)
    if response.is_success and "json" in response.headers.get("content-type", ""):
        response.read()
        try:
            _check_json(response.json())
        except (ValueError, RecursionError):
            return  # no listing; the client says so itself


def _check_json(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_json(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _HASH_KEYS and isinstance(item, str) and not _HASH.fullmatch(item):
                raise _refused(key, item)
            _check_json(item)


def _refused(name: str, value: str) -> DownloadError:
    return DownloadError(
        f"the hub answered with {name} {value[:80]!r}, which is no hash; check HF_ENDPOINT"
    )
