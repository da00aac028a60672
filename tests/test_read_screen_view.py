"""The reading view in a real terminal: tmux shows what it shows, and presses its keys."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

STAND_IN = ROOT / "tests" / "read_stand_in.py"
ISLAND = ROOT / "tests" / "data" / "read" / "island.md"
FIRST, SECOND = "The Island of Clocks", "When the ferry came round the last rock"
_LOOK = re.compile(r"\x1b\[([\d;]*)m")


class Tmux:
    """A shell in a terminal of its own, in which the view is started."""

    def __init__(self, folder: Path, columns: int = 72, rows: int = 20) -> None:
        self._socket = str(folder / "tmux")
        self.folder = folder
        self.log = folder / "log"
        self.fault = ""
        environment = {
            "SPARK_MLX_HOME": str(folder / "home"),
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
        }
        options = [part for pair in environment.items() for part in ("-e", "=".join(pair))]
        size = ["-x", str(columns), "-y", str(rows)]
        self("-f", "/dev/null", "new-session", "-d", *size, *options, "sh")
        self.wait_for(lambda: self.text().strip() != "", "a shell")

    def __call__(self, *args: str) -> str:
        # Not in a session of tmux already, in which the tests may have been started.
        environment = {k: v for k, v in os.environ.items() if k != "TMUX"}
        done = subprocess.run(
            ["tmux", "-u", "-S", self._socket, *args],
            capture_output=True,
            env={**environment, "LC_ALL": "C.UTF-8"},
            timeout=20,
            check=True,
        )
        return done.stdout.decode()

    def start(self, *args: str, seconds: float = 60) -> None:
        """Starts the view; the status of the command and the terminal's settings are kept."""
        command = " ".join(shlex.quote(arg) for arg in (sys.executable, str(STAND_IN), *args))
        before, after = self.folder / "before", self.folder / "after"
        line = (
            f"export SPARK_MLX_STAND_IN='{seconds},{self.log},{self.fault}'; clear; "
            f"stty -a >{before}; {command}; "
            f"echo status $?; stty -a >{after}"
        )
        script = self.folder / "script"
        script.write_text(line)
        self.press(f". {script}", "Enter")
        begun = re.compile("minute  (?!loading)|status")
        self.wait_for(lambda: begun.search(self.text()) is not None, "the view")

    def press(self, *keys: str) -> None:
        self("send-keys", *keys)

    def type(self, text: str) -> None:
        self("send-keys", "-l", text)

    def text(self) -> str:
        return self("capture-pane", "-p")

    def rows(self) -> list[str]:
        return self.text().splitlines()

    def marked(self) -> str:
        """What is in reverse video."""
        return " ".join("".join(found) for found in marks(self("capture-pane", "-p", "-e")))

    def cursor(self) -> tuple[int, int]:
        x, y = self("display-message", "-p", "#{cursor_x} #{cursor_y}").split()
        return int(x), int(y)

    def wait_for(self, what: Callable[[], bool], name: str = "") -> None:
        until = time.monotonic() + 10
        while not what():
            assert time.monotonic() < until, f"{name or what}:\n{self('capture-pane', '-p', '-e')}"
            time.sleep(0.05)

    def wait_for_mark(self, words: str) -> None:
        self.wait_for(lambda: self.marked().startswith(words), words)

    def wait_for_text(self, words: str) -> None:
        self.wait_for(lambda: words in self.text(), words)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()

    def settings(self) -> tuple[str, str]:
        self.wait_for((self.folder / "after").exists, "the end")
        return (self.folder / "before").read_text(), (self.folder / "after").read_text()


def marks(screen: str) -> list[list[str]]:
    """The parts of each row that are in reverse video."""
    found: list[list[str]] = []
    reverse = False
    for row in screen.splitlines():
        parts: list[str] = []
        at = 0
        for look in [*_LOOK.finditer(row), None]:
            text = row[at : look.start() if look else None]
            if reverse and text:
                parts.append(text)
            if look:
                at = look.end()
                for code in (look[1] or "0").split(";"):
                    reverse = code == "7" or (reverse and code not in ("0", "27", ""))
        if parts:
            found.append(parts)
    return found


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path)
    yield terminal
    terminal("kill-server")


def test_the_mark_follows_the_voice(tmux: Tmux) -> None:
    book = tmux.folder / "book.txt"
    words = "one two three four five".split()
    sentences = [
        f"This is sentence {word} of the book, longer than a line of it." for word in words
    ]
    book.write_text(f"{' '.join(sentences[:3])}\n\n{' '.join(sentences[3:])}", encoding="utf-8")
    tmux("resize-window", "-x", "40", "-y", "9")
    tmux.start(str(book), seconds=1)
    seen: list[str] = []

    def ended() -> bool:
        marked = tmux.marked()
        if marked not in seen[-1:]:
            seen.append(marked)
        return "at the end" in tmux.text()

    tmux.wait_for(ended, "the end")
    assert seen == sentences  # one after another, and each whole
    assert "100 %" in tmux.rows()[-1]
    tmux.press("q")
    tmux.wait_for_text("status 0")


def test_keys(tmux: Tmux) -> None:
    tmux.start(str(ISLAND))
    tmux.wait_for_mark(FIRST)
    assert tmux.rows()[-1] == "The Island of Clocks  0 %  180 words a minute  speaking  ? help"
    for key, mark in (
        ("Right", SECOND),
        ("Left", FIRST),
        ("Down", SECOND),
        ("Down", "“It is noon,”"),
        ("Up", SECOND),
        ("j", "“It is noon,”"),
        ("k", SECOND),
        ("l", "Nobody on board"),
        ("h", SECOND),
        ("]", "The keeper"),
        ("[", FIRST),
        ("G", "1. She counted"),
        ("g", FIRST),
        ("End", "1. She counted"),
        ("Home", FIRST),
        ("NPage", SECOND),
        ("PPage", FIRST),
    ):
        tmux.press(key)
        tmux.wait_for_mark(mark)
    tmux.press("+")
    tmux.wait_for_text("200 words a minute  speaking")
    tmux.press("-", "-")
    tmux.wait_for_text("160 words a minute  speaking")
    tmux.press("Space")
    tmux.wait_for_text("paused")
    tmux.press("Right")
    tmux.wait_for_mark(SECOND)
    assert "paused" in tmux.text()
    said = len([line for line in tmux.asked() if line.startswith("say")])
    tmux.press("Space")
    tmux.wait_for_text("speaking")
    asked = [line for line in tmux.asked() if line.startswith("say")]
    assert asked[said].startswith("say now 'When the ferry")
    tmux.press("r")
    tmux.wait_for(lambda: tmux.asked().count("say now 'When the ferry came '") > 4, "again")
    tmux.press("x")
    tmux.wait_for_text("? lists the keys")
    tmux.press("?")
    tmux.wait_for_text("this help")
    tmux.press("Escape")
    tmux.wait_for_mark(SECOND)
    tmux.press("q")
    tmux.wait_for_text("status 0")
    assert tmux.asked()[-1] == "close"


def test_search(tmux: Tmux) -> None:
    tmux.start(str(ISLAND))
    tmux.wait_for_mark(FIRST)
    tmux.press("/")
    tmux.wait_for_text("paused")  # one cannot type and listen
    tmux.type("nobodyx中")
    tmux.press("BSpace", "BSpace")
    tmux.wait_for(lambda: tmux.rows()[-2] == "/nobody", "what is typed")
    assert tmux.cursor() == (len("/nobody"), 18)
    tmux.press("Enter")
    tmux.wait_for_mark("Nobody on board")
    tmux.wait_for_text("speaking")
    tmux.press("/")
    tmux.type("你好")
    tmux.press("Enter")
    tmux.wait_for_mark("你好，老朋友。")
    tmux.press("/")
    tmux.type("clock")
    tmux.press("Enter")
    tmux.wait_for_mark("A clock that is wrong twice")
    tmux.press("n")
    tmux.wait_for_mark("A clock that is wrong all day")
    tmux.press("N", "N")
    tmux.wait_for_mark("Her name was Ada")
    tmux.press("/")
    tmux.type("no such words")
    tmux.press("Enter")
    tmux.wait_for_text("not found")
    assert tmux.marked().startswith("Her name was Ada")
    tmux.press("/")
    tmux.type("q")  # a letter here, no key
    tmux.press("C-u")
    tmux.wait_for(lambda: tmux.rows()[-2] == "/", "nothing typed")
    tmux.press("Escape")
    tmux.wait_for(lambda: "/" not in tmux.rows()[-2], "no prompt")
    tmux.wait_for_text("speaking")
    assert tmux.marked().startswith("Her name was Ada")


def test_every_size(tmux: Tmux) -> None:
    tmux.start(str(ISLAND))
    tmux.press("]")
    tmux.wait_for_mark("The keeper")
    tmux.press("Down")
    for columns, rows in ((30, 12), (100, 40), (12, 6), (40, 3), (5, 2), (1, 1), (72, 20)):
        tmux("resize-window", "-x", str(columns), "-y", str(rows))
        if rows > 3:
            tmux.wait_for(lambda: tmux.marked().split()[:2] == ["Her", "name"], f"{columns}")
        else:
            time.sleep(0.3)
    tmux.wait_for_mark("Her name was Ada Lin")
    assert len(tmux.rows()) == 20
    assert "words a minute" in tmux.rows()[-1]


def test_wide_and_combining_characters(tmux: Tmux) -> None:
    book = tmux.folder / "book.txt"
    text = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。" * 6
    book.write_text(
        f"{text}\n\nE\u0301te\u0301 a\u0300 la plage avec tous mes amis. The next one comes here.",
        encoding="utf-8",
    )
    tmux("resize-window", "-x", "31", "-y", "20")
    tmux.start(str(book))
    tmux.wait_for_mark("春眠不觉晓，处处闻啼鸟。")
    shown = [row for row in tmux.rows() if "春" in row or "鸟" in row]
    assert len("".join(shown)) > 50
    # 30 columns, of which a sign that may not begin a line takes no more than is there.
    assert all(len(row.strip()) in (14, 15) for row in shown[:-1]), shown
    assert not any(row.strip()[0] in "，。" for row in shown)
    tmux("resize-window", "-x", "72", "-y", "20")
    tmux.press("j")
    tmux.wait_for_mark("E\u0301te\u0301 a\u0300 la plage avec tous mes amis.")
    tmux.press("Right")
    tmux.wait_for_mark("The next one comes here.")
    # A mark may be found before the new width is.
    tmux.wait_for(lambda: any("plage" in row and "comes" in row for row in tmux.rows()), "width")
    row = next(row for row in tmux.rows() if "plage" in row)
    assert row == " E\u0301te\u0301 a\u0300 la plage avec tous mes amis. The next one comes here."
    assert tmux.cursor()[0] == len(" Ete a la plage avec tous mes amis. ")


def test_the_readers_own_colours(tmux: Tmux) -> None:
    tmux.start(str(ISLAND))
    tmux.wait_for_mark(FIRST)
    codes = set(_LOOK.findall(tmux("capture-pane", "-p", "-e")))
    used = {code for found in codes for code in found.split(";")}
    # Bold and reverse video; 39 and 49 are the terminal's own colours.
    assert used <= {"", "0", "1", "7", "39", "49"}


@pytest.mark.parametrize(("how", "status"), [("q", 0), ("C-c", 130), ("TERM", 143), ("HUP", 129)])
def test_the_terminal_is_given_back(tmux: Tmux, how: str, status: int) -> None:
    tmux.press("echo what was there before", "Enter")
    tmux.start(str(ISLAND), seconds=0.2)
    tmux.wait_for_mark("Nobody on board")
    if how in ("TERM", "HUP"):
        found = subprocess.run(
            ["pgrep", "-f", f"read_stand_in.py {ISLAND}"],
            capture_output=True,
            text=True,
            check=True,
        )
        (shell,) = tmux("list-panes", "-F", "#{pane_pid}").split()
        for process in found.stdout.split():
            parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
            if parent == shell:
                os.kill(int(process), {"TERM": 15, "HUP": 1}[how])
    else:
        tmux.press(how)
    tmux.wait_for_text(f"status {status}")
    before, after = tmux.settings()
    assert after == before
    assert "Traceback" not in tmux.text()
    assert "words a minute" not in tmux.text()  # the screen from before is back
    assert tmux.asked()[-1] == "close"
    tmux.press("echo ty", "ped", "Enter")
    tmux.wait_for(lambda: "typed" in tmux.rows(), "an echo")
    tmux.start(str(ISLAND), seconds=0.5)
    tmux.wait_for_text("Going on at")  # said, and shown


def test_suspended_and_back(tmux: Tmux) -> None:
    tmux.start(str(ISLAND))
    tmux.wait_for_mark(FIRST)
    tmux.press("C-z")
    tmux.wait_for(lambda: "words a minute" not in tmux.text(), "the shell")
    tmux.press("fg", "Enter")
    tmux.wait_for_mark(FIRST)
    tmux.press("Down")
    tmux.wait_for_mark(SECOND)


def test_a_long_document_and_a_title_too_wide(tmux: Tmux) -> None:
    book = tmux.folder / f"{'a very long name ' * 8}.txt"
    book.write_text("One of many sentences. " * 250_000, encoding="utf-8")
    tmux.start(str(book))
    tmux.wait_for_mark("One of many sentences.")
    assert "…  0 %  180 words a minute  speaking" in tmux.rows()[-1]
    tmux.press("G")
    tmux.wait_for_text("99 %")
    tmux.wait_for_mark("One of many sentences.")
    tmux.press("/")
    tmux.type("not there")
    tmux.press("Enter")
    tmux.wait_for_text("not found")


def test_it_says_why_it_cannot_speak(tmux: Tmux) -> None:
    tmux.fault = "the device is gone"
    tmux.start(str(ISLAND))
    tmux.wait_for_text("cannot speak")
    tmux.wait_for_text("the device is gone; space tries again")
    tmux.press("Down")
    tmux.press("q")
    tmux.wait_for_text("status 0")


def test_a_document_from_a_pipe(tmux: Tmux) -> None:
    script = tmux.folder / "piped"
    script.write_text(
        f"export SPARK_MLX_STAND_IN=60,{tmux.log},\n"
        f"{sys.executable} {STAND_IN} - < {ISLAND}; echo status $?"
    )
    tmux.press(f"clear; . {script}", "Enter")
    tmux.wait_for_mark("---")  # stdin has no name that says Markdown
    tmux.press("Down", "Down")
    tmux.wait_for_mark("When the ferry")
    tmux.press("q")
    tmux.wait_for_text("status 0")
