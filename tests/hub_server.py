"""A small hub on loopback, for the real client: what `snapshot_download` asks for, and its mishaps.

    with HubServer({"owner/name": folder}) as hub:
        hub.faults["model.safetensors"] = Fault(cut_at=1000, times=1)
        …                               # run a client with HF_ENDPOINT=hub.url
        assert hub.asked("GET", "model.safetensors") == ["bytes=1000-"]

A file is listed with its git hash and, if it is large on the real hub, with its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = (".safetensors", ".bin")
_PIECE = 1 << 16
SILENCE = 1.5  # seconds: more than the clients of these tests wait


@dataclass
class Fault:
    """What goes wrong with a file, or with the listing, which goes by the name "tree".

    Attributes:
        status: answer with this HTTP status, and `code` as the hub's name for the reason.
        cut_at: close the connection before this byte of the file.
        silent_at: send nothing for `SILENCE` seconds before this byte, then close.
        spoilt: send another byte in place of the last.
        page: answer with a web page.
        times: how often, before all is well again.
    """

    status: int = 200
    code: str = ""
    cut_at: int | None = None
    silent_at: int | None = None
    spoilt: bool = False
    page: bool = False
    times: float = math.inf


_WELL = Fault()


@dataclass(frozen=True)
class Request:
    method: str
    name: str  # a file's, or "tree", or "info"
    range: str | None


class HubServer:
    """Serves folders as repositories, each with one commit, from entering to leaving the block.

    Attributes:
        url: for HF_ENDPOINT.
        faults: name of a file → what is wrong with it; may be changed at any time.
        etags: name of a file → the ETag to send instead of its own.
        requests: all that was asked, in order.
    """

    def __init__(self, repos: Mapping[str, Path], commit: str = COMMIT) -> None:
        self.repos = repos
        self.commit = commit
        self.faults: dict[str, Fault] = {}
        self.etags: dict[str, str] = {}
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def asked(self, method: str, name: str) -> list[str | None]:
        """The Range headers of all such requests."""
        return [r.range for r in self.requests if (r.method, r.name) == (method, name)]

    def note(self, request: Request) -> Fault:
        """Records a request and says what shall go wrong with it."""
        with self._lock:
            self.requests.append(request)
            fault = self.faults.get(request.name, _WELL)
            if request.method == "HEAD" or fault.times < 1:
                return _WELL
            fault.times -= 1
            return fault

    def __enter__(self) -> HubServer:
        # A short poll: shutdown() waits for it.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(tree|revision)/([^/]+))?", path):
            repo, kind, revision = match.groups()
            self._listing(repo, "tree" if kind == "tree" else "info", revision or "main")
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(*match.groups())
        else:
            self._answer(404, b"")

    def log_message(self, *_: object) -> None:
        """Keeps quiet: `HubServer.requests` has it all."""

    def _listing(self, repo: str, name: str, revision: str) -> None:
        fault = self.hub.note(Request("GET", name, None))
        folder = self.hub.repos.get(repo)
        if fault.page:
            self._answer(200, b"<html>Welcome to our network</html>", {"Content-Type": "text/html"})
        elif fault.status != 200:
            self._answer(fault.status, b"{}", {"X-Error-Code": fault.code})
        elif folder is None:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", self.hub.commit):
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            names = [path.relative_to(folder).as_posix() for path in files]
            info = {
                "id": repo,
                "sha": self.hub.commit,
                "siblings": [{"rfilename": name} for name in names],
            }
            tree = [_entry(name, path) for name, path in zip(names, files, strict=True)]
            self._answer(200, json.dumps(tree if name == "tree" else info).encode())

    def _file(self, repo: str, revision: str, name: str) -> None:
        fault = self.hub.note(Request(self.command, name, self.headers["Range"]))
        folder = self.hub.repos.get(repo)
        if fault.status != 200:
            self._answer(fault.status, b"", {"X-Error-Code": fault.code})
            return
        if folder is None or not (folder / name).is_file():
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = (folder / name).read_bytes()
        headers = {"X-Repo-Commit": self.hub.commit, "Accept-Ranges": "bytes"}
        if name.endswith(_LARGE):
            headers["X-Linked-Etag"] = f'"{_sha256(data)}"'
            headers["X-Linked-Size"] = f"{len(data)}"
        headers["ETag"] = f'"{_sha256(data) if name.endswith(_LARGE) else _git_hash(data)}"'
        if name in self.hub.etags:
            headers["ETag"] = headers["X-Linked-Etag"] = self.hub.etags[name]
        if fault.spoilt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        first = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(first[1]) if first else 0
        if first:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._answer(206 if first else 200, data, headers, start, fault)

    def _answer(
        self,
        status: int,
        data: bytes,
        headers: Mapping[str, str] | None = None,
        start: int = 0,
        fault: Fault = _WELL,
    ) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": f"{len(data) - start}"}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        stops = [at for at in (fault.cut_at, fault.silent_at) if at is not None]
        end = min([len(data), *stops])
        try:
            for at in range(start, end, _PIECE):
                self.wfile.write(data[at : min(at + _PIECE, end)])
            if fault.silent_at is not None:
                time.sleep(SILENCE)
        except ConnectionError:  # the client has lost patience
            self.close_connection = True
        if end < len(data):
            self.close_connection = True


def _entry(name: str, path: Path) -> dict[str, object]:
    """A file in the listing of a tree."""
    data = path.read_bytes()
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(data)}
    entry["oid"] = _git_hash(data)
    if name.endswith(_LARGE):
        entry["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 134}
    return entry


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
