"""Where the daemon listens, and who may talk to whom: a path → a socket of one user's own.

Three things keep others out: the folder belongs to the user and nobody else may write to it, the
socket has mode 0600, and each side asks the system who is at the other end.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import struct
import sys
from pathlib import Path

from spark_mlx.errors import DaemonError

LONGEST_PATH = 103 if sys.platform == "darwin" else 107  # bytes, of a socket's address


def default_path() -> Path:
    """Where the daemon is looked for: in `$SPARK_MLX_HOME`, else in `$XDG_RUNTIME_DIR`, else in
    the folder where the platform keeps state."""
    chosen = os.environ.get("SPARK_MLX_HOME", "")
    if chosen:
        return Path(chosen).expanduser().absolute() / "daemon.sock"
    for variable, default in (("XDG_RUNTIME_DIR", None), ("XDG_STATE_HOME", ".local/state")):
        folder = Path(os.environ.get(variable, ""))
        if folder.is_absolute():  # the specification says to ignore any other
            return folder / "spark-mlx" / "daemon.sock"
        if default is not None and sys.platform != "darwin":
            return Path.home() / default / "spark-mlx" / "daemon.sock"
    return Path.home() / "Library" / "Application Support" / "spark-mlx" / "daemon.sock"


class Address:
    """The right to listen at a path, and the socket there; a context manager.

    A lock beside the socket says whether a daemon runs; the system lets it go however the daemon
    ends. The holder replaces a socket that was left behind.

    Attributes:
        path: of the socket.
        socket: listening; not blocking.

    Raises:
        DaemonError: a daemon runs there already, the folder is not the user's alone to write to,
            or no socket can be made there.
    """

    def __init__(self, path: Path) -> None:
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise DaemonError(
                f"{path} is too long for a socket, whose path has at most {LONGEST_PATH} bytes; "
                "choose another with --socket"
            )
        if not path.name:
            raise DaemonError(f"{path} is a folder, not a socket; choose another with --socket")
        self.path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_folder(path.parent)
            self._lock = _locked(self._lock_path, path)
        except OSError as error:
            raise DaemonError(f"cannot listen at {path}: {error.strerror or error}") from error
        try:
            self.socket = _listening(path)
            self._inode = path.lstat().st_ino
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Address:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the socket and lets the lock go."""
        self.socket.close()
        for path, inode in (
            (self.path, self._inode),
            (self._lock_path, os.fstat(self._lock).st_ino),
        ):
            # Someone may have removed it and put something else there.
            if os.path.lexists(path) and path.lstat().st_ino == inode:
                path.unlink()
        os.close(self._lock)


def dial(path: Path, timeout: float = 2.0) -> socket.socket | None:
    """A connection to the daemon at a path; None when none listens there.

    Raises:
        DaemonError: another user listens, or there is no answer.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
        owner = peer(connection)
        if owner != os.geteuid():
            raise DaemonError(
                f"what listens at {path} belongs to user {owner}; choose another path"
            )
        connection.settimeout(None)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        reason = error.strerror or error
        raise DaemonError(f"the daemon at {path} cannot be reached ({reason})") from error
    except BaseException:
        connection.close()
        raise
    return connection


def peer(connection: socket.socket) -> int:
    """The user at the other end, by number."""
    if hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = struct.unpack(
            "iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        return int(uid)
    return xucred_uid(connection.getsockopt(0, 1, 76))  # SOL_LOCAL, LOCAL_PEERCRED


def xucred_uid(data: bytes) -> int:
    """The user in a `struct xucred`, with which macOS answers."""
    version, uid = struct.unpack_from("=II", data)
    if version != 0:
        raise DaemonError(f"this system tells who connects in form {version}, which is not known")
    return int(uid)


def _check_folder(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise DaemonError(f"{folder} belongs to another user; choose another with --socket")
    if found.st_mode & 0o022:
        raise DaemonError(
            f"others may write to {folder}; choose another with --socket, or: chmod go-w {folder}"
        )


def _locked(lock: Path, path: Path) -> int:
    """An open file with the only lock there can be on `lock`."""
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise DaemonError(
                f"a daemon listens at {path} already; end it with: spark-mlx daemon --stop"
            ) from error
        # A daemon that ended between the two lines has taken its lock with it.
        if os.path.lexists(lock) and lock.lstat().st_ino == os.fstat(file).st_ino:
            return file
        os.close(file)


def _listening(path: Path) -> socket.socket:
    if os.path.lexists(path):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise DaemonError(f"{path} is there already and is no socket; choose another path")
        path.unlink()  # of a daemon that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(64)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise DaemonError(f"cannot listen at {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return listener
