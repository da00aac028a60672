"""What the tests of the screen reader's module stand on: the module over pipes, speech-dispatcher
with a home of its own, and a client of it."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Event:
    """Something the module wrote: a reply, or an event with its name or samples."""

    code: int
    text: str
    time: float
    samples: np.ndarray | None = None
    rate: int = 0
    lines: tuple[str, ...] = ()


class Driven:
    """The module over pipes, as the server would drive it.

    Args:
        paced: take sound only that many times as fast as it would be heard; 0 is at once.
    """

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], paced: float = 0
    ) -> None:
        self._paced = paced
        self._flushed = threading.Event()
        self._events: queue.Queue[Event | None] = queue.Queue()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        self.stderr: list[bytes] = []
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._note)]
        for thread in self._threads:
            thread.start()

    def send(self, text: str | bytes) -> float:
        """Writes to the module; when."""
        assert self.process.stdin is not None
        now = time.perf_counter()
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
        return now

    def next(self, timeout: float = 60) -> Event:
        event = self._events.get(timeout=timeout)
        assert event is not None, "the module has ended:\n" + b"".join(self.stderr).decode()
        return event

    def until(self, *codes: int) -> list[Event]:
        """Everything up to one with one of these codes."""
        found = [self.next()]
        while found[-1].code not in codes:
            found.append(self.next())
        return found

    def silent(self, seconds: float) -> bool:
        """Whether nothing is written for a while."""
        try:
            self._events.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def ask(self, *blocks: str) -> list[str]:
        """Sends commands that are answered at once; the text of the answers."""
        for block in blocks:
            self.send(block)
        return [self.next().text for _ in blocks]

    def begin(self, method: str = "server") -> None:
        self.send("INIT\n")
        assert self.next().code == 299
        self.send(f"AUDIO\naudio_output_method={method}\n.\n")
        assert [self.next().code for _ in range(2)] == [207, 203]

    def set(self, **settings: object) -> list[int]:
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.send(f"SET\n{lines}.\n")
        return [self.next().code for _ in range(2)]

    def speak(self, text: str, command: str = "SPEAK") -> float:
        """Gives a message, and waits for the reply; when its last line went."""
        self._flushed.clear()
        self.send(f"{command}\n{text}\n")
        now = self.send(".\n")
        assert [self.next().code for _ in range(2)] == [202, 200]
        return now

    def stop(self) -> float:
        """Sends STOP; when. As the server does, it then reads what is left as fast as it can."""
        now = self.send("STOP\n")
        self._flushed.set()
        return now

    def flush(self) -> None:
        """Takes the rest as fast as it comes."""
        self._flushed.set()

    def spoken(self, text: str, command: str = "SPEAK") -> list[Event]:
        """All events of a message."""
        self.speak(text, command)
        return self.until(702, 703, 704)

    def close(self) -> int:
        """Ends the module by ending its input; its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(30)
        for thread in self._threads:
            thread.join()
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def _note(self) -> None:
        assert self.process.stderr is not None
        self.stderr += self.process.stderr

    def _read(self) -> None:
        assert self.process.stdout is not None
        clock = 0.0
        with os.fdopen(os.dup(self.process.stdout.fileno()), "rb") as stream:
            while True:
                event = read_event(stream.readline)
                if event is not None and event.code == 701:
                    clock = 0.0
                if event is not None and event.samples is not None and self._paced:
                    seconds = len(event.samples) / event.rate / self._paced
                    clock = max(clock, time.perf_counter()) + seconds
                    # The server is some tenths ahead of the ear.
                    self._flushed.wait(max(0.0, clock - time.perf_counter() - 0.3))
                self._events.put(event)
                if event is None:
                    return


def read_event(readline: Callable[[], bytes]) -> Event | None:
    """The next reply or event; fails on anything that is none."""
    lines: list[bytes] = []
    while True:
        line = readline()
        if not line:
            return None
        assert line.endswith(b"\n") and line[:3].isdigit() and line[3:4] in (b" ", b"-"), line
        if line[3:4] == b" ":
            break
        lines.append(line[4:-1])
    code, text, now = int(line[:3]), line[4:-1].decode(), time.perf_counter()
    if code != 705:
        texts = tuple(one.decode() for one in lines)
        return Event(code, texts[0] if code in (700, 706) else text, now, lines=texts)
    values = dict(one.decode().split("=") for one in lines[:-1])
    assert values["bits"] == "16" and values["num_channels"] == "1"
    assert lines[-1].startswith(b"AUDIO\0")
    data = lines[-1][6:]
    plain = bytearray()
    escaped = False
    for byte in data:
        if escaped or byte != 0x7D:
            plain.append(byte ^ 0x20 if escaped else byte)
            escaped = False
        else:
            escaped = True
    samples = np.frombuffer(bytes(plain), "<i2" if values["big_endian"] == "0" else ">i2")
    assert not escaped and len(samples) == int(values["num_samples"])
    return Event(705, text, now, samples, int(values["sample_rate"]))


def sound(events: list[Event]) -> np.ndarray:
    """All samples of some events."""
    parts = [event.samples for event in events if event.samples is not None]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


SERVER = shutil.which("speech-dispatcher")
SAY = shutil.which("spd-say")


class Dispatcher:
    """speech-dispatcher in a folder of its own, silent, with this module only.

    Args:
        folder: becomes its home.
        extra: lines of its configuration.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # Not in the folder, whose path may be too long for a socket.
        self._runtime = tempfile.TemporaryDirectory(prefix="speechd")
        self.runtime = Path(self._runtime.name)
        self.environment = {
            **environment,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "share"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "LC_ALL": "C.UTF-8",
        }
        self.config = folder / "config" / "speech-dispatcher" / "speechd.conf"
        self.socket = self.runtime / "speech-dispatcher" / "speechd.sock"
        self.log = folder / "logs" / "speech-dispatcher.log"
        self.log.parent.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SERVER is not None
        with (self.folder / "output.txt").open("wb") as output:
            self.process = subprocess.Popen(
                [SERVER, "--run-single", "--timeout", "0", "--log-dir", str(self.log.parent)],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # Some who run tests ignore it for all their children; the server counts on it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        latest = time.monotonic() + 60
        while not self.socket.exists():
            assert self.process.poll() is None and time.monotonic() < latest, self.story()
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._runtime.cleanup()

    def story(self) -> str:
        """What it logged."""
        found = [path.read_text(errors="replace") for path in self.log.parent.glob("*.log")]
        return "\n".join([*found, (self.folder / "output.txt").read_text(errors="replace")])

    def say(self, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Runs the real spd-say."""
        assert SAY is not None
        return subprocess.run(
            [SAY, *args], env=self.environment, capture_output=True, timeout=timeout, check=False
        )


class Client:
    """A client of speech-dispatcher that is told of everything."""

    def __init__(self, path: Path, name: str = "test") -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.settimeout(60)
        self._stream = self._socket.makefile("rb")
        self._waiting: list[tuple[int, list[str]]] = []
        self.command(f"SET SELF CLIENT_NAME user:{name}:main")
        self.command("SET SELF NOTIFICATION ALL on")

    def command(self, line: str) -> list[str]:
        """Sends a command; the lines of its answer."""
        self._socket.sendall(f"{line}\r\n".encode())
        return self._reply(line)

    def speak(self, text: str) -> int:
        """Sends a message; its number."""
        self.command("SPEAK")
        escaped = "\r\n".join(f".{x}" if x.startswith(".") else x for x in text.split("\n"))
        self._socket.sendall(f"{escaped}\r\n.\r\n".encode())
        return int(self._reply("SPEAK")[0])

    def send(self, line: str) -> int:
        """A CHAR, KEY or SOUND_ICON; its number."""
        return int(self.command(line)[0])

    def events(self, *until: str) -> Iterator[tuple[str, int, str]]:
        """(event, message, mark), up to and with one of these events."""
        while True:
            code, lines = self._waiting.pop(0) if self._waiting else self._answer()
            assert 700 <= code < 800, (code, lines)
            yield lines[-1], int(lines[0]), lines[2] if len(lines) > 3 else ""
            if lines[-1] in until:
                return

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def _reply(self, line: str) -> list[str]:
        while True:
            code, lines = self._answer()
            if code < 700:
                assert code < 300, (line, code, lines)
                return lines
            self._waiting.append((code, lines))

    def _answer(self) -> tuple[int, list[str]]:
        lines = []
        while True:
            line = self._stream.readline().decode().rstrip("\r\n")
            assert line, "speech-dispatcher has left"
            lines.append(line[4:])
            if line[3] == " ":
                return int(line[:3]), lines


def module_command() -> list[str]:
    return [sys.executable, "-m", "spark_mlx.speechd"]
