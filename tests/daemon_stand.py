"""What the tests of the daemon stand on: the daemon as a process, a socket to it, and a card."""

from __future__ import annotations

import ctypes.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from card import Card as PacedCard


class Card(PacedCard):
    """A card that knows when it was heard last.

    Attributes:
        sounded: when sound last came, by time.monotonic.
    """

    def __init__(self, folder: Path, speed: float = 1.0, rate: int | None = None) -> None:
        self.sounded = 0.0
        self._changed = threading.Condition()
        super().__init__(folder, speed, rate=rate)

    def wait_for_sound(self, after: float, timeout: float = 20.0) -> None:
        """Waits until something can be heard after a point in time."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.sounded > after, timeout), "no sound"

    def wait_for_frames(self, count: int, timeout: float = 20.0) -> None:
        """Waits until so many more have come."""
        with self._changed:
            enough = self.frames + count
            assert self._changed.wait_for(lambda: self.frames >= enough, timeout), "no frames"

    def heard(self, part: bytes) -> None:
        with self._changed:
            super().heard(part)
            # A fade ends far below what can be heard.
            if np.abs(np.frombuffer(part[: len(part) // 4 * 4], np.float32)).max() > 1e-4:
                self.sounded = time.monotonic()
            self._changed.notify_all()


class Socket:
    """A client that writes what it likes."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(20)
        self._socket.connect(os.fspath(path))
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> dict[str, Any]:
        """The next line; fails when there is none."""
        line = self._file.readline()
        assert line.endswith(b"\n"), line
        found: dict[str, Any] = json.loads(line)
        return found

    def at_end(self) -> bool:
        return self._file.readline() == b""

    def ask(self, **request: Any) -> dict[str, Any]:
        """A request's answer; events before it are passed over."""
        self.raw(json.dumps(request).encode() + b"\n")
        while "ok" not in (answer := self.line()):
            pass
        return answer

    def events(self) -> Iterator[dict[str, Any]]:
        while True:
            line = self.line()
            if "event" in line:
                yield line

    def last(self, utterance: int) -> dict[str, Any]:
        """The last event of an utterance."""
        for event in self.events():
            if event["utterance"] == utterance and event["event"] in ("end", "stopped", "error"):
                return event
        raise AssertionError("no events")


class Daemon:
    """`spark-mlx daemon` in a process of its own, with a home of its own."""

    def __init__(self, home: Path, model: Path, card: Card | None, options: Sequence[str] = ()):
        self.path = home / "daemon.sock"
        nowhere = home.parent / "nowhere.conf"
        nowhere.write_text("pcm.!default { type hw card 99 }\nctl.!default { type hw card 99 }\n")
        self.environment = {
            **os.environ,
            "SPARK_MLX_HOME": str(home),
            "SPARK_MLX_MODEL": str(model),
            "PYTHONWARNINGS": "error",
            "ALSA_CONFIG_PATH": str(nowhere if card is None else card.config),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spark_mlx", "daemon", *options],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self._ready = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        if not self._ready.wait(60) or "spark-mlx: ready\n" not in self.errors:
            self.kill()
            raise AssertionError("".join(self.errors))

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)
            if line == "spark-mlx: ready\n":
                self._ready.set()
        self._ready.set()

    def socket(self) -> Socket:
        return Socket(self.path)

    def kill(self) -> None:
        self.process.kill()
        self._close()

    def _close(self) -> None:
        self.process.wait(30)
        self._listener.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def end(self) -> str:
        """Ends it as a system would; gives what it wrote to stderr beside the usual."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._close()
        assert self.process.returncode == 0, (self.process.returncode, self.errors)
        assert not self.path.exists()
        usual = ("spark-mlx: listening", "spark-mlx: ready")
        return "".join(line for line in self.errors if not line.startswith(usual))


def need_portaudio() -> None:
    if sys.platform != "linux" or ctypes.util.find_library("portaudio") is None:
        pytest.skip("needs PortAudio on ALSA (apt install libportaudio2)")


def threads_and_memory(pid: int) -> tuple[int, float]:
    """How many threads a process has, and the megabytes it uses."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("needs Linux")
    found = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(found["Threads"]), int(found["VmRSS"].split()[0]) / 1024
