"""`read --plain`: lines, and never an escape sequence; keys through a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

STAND_IN = str(ROOT / "tests" / "read_stand_in.py")
SENTENCES = [f"Sentence {word} says this." for word in "one two three four five six".split()]
# Of what a terminal may be sent, only text and the ends of lines are allowed.
FORBIDDEN = re.compile(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, *args: str, environment: dict[str, str], stdin: bytes | None = None) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.printed = b""
        self.process = subprocess.Popen(
            [sys.executable, *args],
            stdin=self.slave if stdin is None else subprocess.PIPE,
            stdout=self.slave,
            stderr=self.slave,
            env=environment,
            start_new_session=True,
            preexec_fn=_take_terminal(self.slave),
        )
        if stdin is not None:
            assert self.process.stdin is not None
            self.process.stdin.write(stdin)
            self.process.stdin.close()

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait_for(self, words: str, times: int = 1) -> None:
        """Until something was printed."""
        until = time.monotonic() + 30
        while self.printed.decode("utf-8", "replace").count(words) < times:
            assert time.monotonic() < until, (words, self.printed.decode())
            self._take(0.05)

    def end(self) -> int:
        """Until the command has ended; its status."""
        status = self.process.wait(30)
        self._take(0.2)
        return status

    def lines(self) -> list[str]:
        return self.printed.decode().replace("\r\n", "\n").splitlines()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def _take(self, seconds: float) -> None:
        while select.select([self.master], [], [], seconds)[0]:
            self.printed += os.read(self.master, 65536)


def _take_terminal(slave: int):  # type: ignore[no-untyped-def]
    def take() -> None:
        import fcntl

        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    return take


class Starter:
    """Starts the plain view on a document, with the stand-in for a speaker."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "text.txt"
        self.file.write_text("\n\n".join(SENTENCES), encoding="utf-8")
        self.log = folder / "log"
        self.folder = folder
        self.fault = ""
        self.terminals: list[Terminal] = []

    def environment(self, seconds: float, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "SPARK_MLX_HOME": str(self.folder / "home"),
            "SPARK_MLX_STAND_IN": f"{seconds},{self.log},{self.fault}",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "TERM": "xterm-256color",
            **more,
        }

    def __call__(
        self, *args: str, seconds: float = 60, stdin: bytes | None = None, **environment: str
    ) -> Terminal:
        terminal = Terminal(
            STAND_IN, *args, environment=self.environment(seconds, **environment), stdin=stdin
        )
        self.terminals.append(terminal)
        return terminal

    def asked(self) -> list[str]:
        """What the speaker was asked to do."""
        return self.log.read_text().splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for terminal in starter.terminals:
        terminal.close()


def test_each_sentence_is_a_line(start: Starter) -> None:
    terminal = start("--plain", str(start.file), seconds=0.02)
    terminal.wait_for("at the end")
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.lines() == ["text.txt", *SENTENCES, "at the end; q quits"]


def test_no_escape_sequence_is_ever_written(start: Starter) -> None:
    start.file.write_text("A \x1b[31mred\x1b[0m word\x07 of 中文 and café.\n\n" * 3)
    terminal = start("--plain", str(start.file))
    terminal.wait_for("A red word")
    for keys, answer in (
        ("\x1b[C", "A red word"),
        (" ", "paused"),
        ("\x1b[B", "A red word"),
        ("+", "200 words a minute"),
        ("?", "this help"),
        ("/", "search for:"),
        ("nothing\n", "not found"),
        ("]", "no heading"),
        ("x\x1b\x1b[Z\t", ""),
        ("G", "A red word"),
    ):
        terminal.press(keys)
        terminal.wait_for(answer)
    terminal.press("q")
    assert terminal.end() == 0
    printed = terminal.printed
    assert len(printed) > 300
    assert FORBIDDEN.sub(b"?", printed) == printed
    # A carriage return is only half of a line's end: nothing is written over.
    assert printed.count(b"\r") == printed.count(b"\r\n")


def test_keys(start: Starter) -> None:
    terminal = start("--plain", str(start.file))
    terminal.wait_for(SENTENCES[0])
    terminal.press("\x1b[B\x1b[B")
    terminal.wait_for(SENTENCES[2])
    terminal.press("\x1bOA")
    terminal.wait_for(SENTENCES[1], 1)
    terminal.press(" ")
    terminal.wait_for("paused")
    terminal.press("l")
    terminal.wait_for(SENTENCES[2], 2)  # shown, though it is not heard
    terminal.press(" ")
    terminal.wait_for(SENTENCES[2], 3)
    terminal.press("/")
    terminal.wait_for("search for:")
    terminal.press("SAYS\n")
    terminal.wait_for(SENTENCES[3])
    terminal.press("n")
    terminal.wait_for(SENTENCES[4])
    terminal.press("N")
    terminal.wait_for(SENTENCES[3], 2)
    terminal.press("r")
    terminal.wait_for(SENTENCES[3], 3)
    terminal.press("-")
    terminal.wait_for("160 words a minute")
    terminal.press("G")
    terminal.wait_for(SENTENCES[5])
    terminal.press("g")
    terminal.wait_for(SENTENCES[0], 2)
    terminal.press("q")
    assert terminal.end() == 0
    # Words that were searched for were shown once, by the terminal; other keys were not.
    assert terminal.lines().count("SAYS") == 1
    assert start.asked()[-1] == "close"
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_it_goes_on_where_it_was_left_and_says_so(start: Starter) -> None:
    terminal = start("--plain", str(start.file))
    terminal.press("jjj")
    terminal.wait_for(SENTENCES[3])
    terminal.press("q")
    terminal.end()
    again = start("--plain", str(start.file), seconds=0.5)
    again.wait_for(SENTENCES[3])
    again.press("q")
    again.end()
    assert again.lines()[:3] == ["text.txt", "Going on at 50 per cent.", SENTENCES[3]]
    assert "say now 'Going on at 50 per c'" in start.asked()
    anew = start("--plain", "--from-start", str(start.file))
    anew.wait_for(SENTENCES[0])
    start.file.write_text("\n\n".join(["New.", *SENTENCES]))
    anew.press("q")
    anew.end()
    assert anew.lines() == ["text.txt", SENTENCES[0]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_and_the_place_outlast_a_signal(start: Starter, number: int) -> None:
    terminal = start("--plain", str(start.file))
    terminal.wait_for(SENTENCES[0])
    terminal.press("G")
    terminal.wait_for(SENTENCES[5])
    assert termios.tcgetattr(terminal.slave) != terminal.before
    terminal.process.send_signal(number)
    assert terminal.end() == 128 + number
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert b"Traceback" not in terminal.printed
    assert start.asked()[-1] == "close"
    again = start("--plain", str(start.file))
    again.wait_for("Going on at 84 per cent.")


def test_a_dumb_terminal_gets_the_plain_view(start: Starter) -> None:
    for kind in ("dumb", "no-such-terminal"):
        terminal = start(str(start.file), "--from-start", TERM=kind)
        terminal.wait_for(SENTENCES[0])
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.lines() == ["text.txt", SENTENCES[0]]


def test_a_document_from_a_pipe_leaves_the_keys_to_the_terminal(start: Starter) -> None:
    terminal = start("--plain", "-", stdin=start.file.read_bytes())
    terminal.wait_for(SENTENCES[0])
    terminal.press("\x1b[B")
    terminal.wait_for(SENTENCES[1])
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.lines()[0] == "stdin"


def run(start: Starter, *args: str, stdin: str, seconds: float = 0.01) -> list[str]:
    """Without any terminal, as in a pipe."""
    done = subprocess.run(
        [sys.executable, STAND_IN, *args],
        input=stdin,
        capture_output=True,
        text=True,
        env=start.environment(seconds),
        start_new_session=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not FORBIDDEN.search(done.stdout.encode())
    return done.stdout.splitlines()


def test_without_a_terminal_it_reads_to_the_end(start: Starter) -> None:
    assert run(start, str(start.file), stdin="") == ["text.txt", *SENTENCES, "at the end"]
    assert run(start, "-", stdin="Only this.") == ["stdin", "Only this.", "at the end"]


def test_without_a_terminal_lines_are_keys(start: Starter) -> None:
    printed = run(start, str(start.file), stdin="+\nG\nq\n", seconds=60)
    assert printed[:2] == ["text.txt", "200 words a minute"]
    assert "at the end" not in printed


def test_without_a_terminal_a_failure_is_an_error(start: Starter) -> None:
    start.fault = "the device is gone"
    done = subprocess.run(
        [sys.executable, STAND_IN, str(start.file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=start.environment(0.01),
        start_new_session=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "spark-mlx: the device is gone\n")
