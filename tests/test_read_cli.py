"""The real `spark-mlx read`: what it refuses, and the clipboard's programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from spark_mlx.errors import TextError
from spark_mlx.reader import clipboard
from test_cli import Command

DATA = ROOT / "tests" / "data" / "read"


@pytest.fixture
def spark(tmp_path: Path) -> Command:
    return Command(tmp_path / "home", tmp_path / "no-model")


def test_bad_documents(spark: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    for args, complaint in (
        ((str(tmp_path / "gone.txt"),), "No such file"),
        ((str(tmp_path),), "directory"),
        ((str(tmp_path / "empty.txt"),), "empty"),
        (("-",), "stdin is empty"),
        ((sys.executable,), "a program"),
        ((str(DATA / "encrypted.pdf"),), "password"),
        ((str(DATA / "island.md"), "--voice", "nobody"), "no voice 'nobody'"),
    ):
        assert complaint in spark.refused("read", *args)


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("x.txt", "--clipboard"),
        ("--clipboard", "--selection"),
        ("x.txt", "--rate", "80"),
        ("x.txt", "--rate", "541"),
        ("x.txt", "--rate", "fast"),
    ],
)
def test_usage_mistakes(spark: Command, args: tuple[str, ...]) -> None:
    spark.refused("read", *args, status=2)


def test_a_model_that_is_not_there(spark: Command) -> None:
    # The title is printed at once; the model is looked for meanwhile.
    done = spark("read", str(DATA / "island.md"))
    assert done.returncode == 1
    assert done.stdout.decode() == "The Island of Clocks\n"
    (line,) = done.stderr.decode().splitlines()
    assert "no-model" in line


# The clipboard.

PROGRAMS = {
    "wl-paste": "[ \"$*\" = '--no-newline' ] && echo copied; "
    "[ \"$*\" = '--no-newline --primary' ] && echo selected; true",
    "xclip": '[ "$3" = clipboard ] && echo copied by xclip || echo selected by xclip',
    "xsel": '[ "$2" = --clipboard ] && echo copied by xsel || echo selected by xsel',
}


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the desktop's programs, and nothing else on the path but a shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "sleep"):
        (folder / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    return folder


def install(folder: Path, name: str, script: str | None = None) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{PROGRAMS[name] if script is None else script}\n")
    program.chmod(0o755)


def test_clipboard_of_each_desktop(desktop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    install(desktop, "xsel")
    assert clipboard.read() == b"copied by xsel\n"
    install(desktop, "xclip")
    assert clipboard.read() == b"copied by xclip\n"
    assert clipboard.read(selection=True) == b"selected by xclip\n"
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert clipboard.read() == b"copied by xclip\n"  # until there is a better one
    install(desktop, "wl-paste")
    assert clipboard.read() == b"copied\n"
    assert clipboard.read(selection=True) == b"selected\n"


def test_clipboard_of_a_mac(desktop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    install(desktop, "pbpaste", "echo copied")
    assert clipboard.read() == b"copied\n"
    with pytest.raises(TextError, match="copy it, then read --clipboard"):
        clipboard.read(selection=True)


def test_no_clipboard(desktop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TextError, match="the clipboard belongs to a desktop"):
        clipboard.read()
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(TextError, match="can tell the selection; apt install xclip"):
        clipboard.read(selection=True)
    install(desktop, "xclip", "echo 'Error: no owner' >&2; exit 1")
    with pytest.raises(TextError, match=r"holds no text \(xclip: Error: no owner\)"):
        clipboard.read()
    install(desktop, "xclip", "echo ' '")
    with pytest.raises(TextError, match="the clipboard holds no text; copy"):
        clipboard.read()
    monkeypatch.setattr(clipboard, "_TIMEOUT", 0.2)
    install(desktop, "xclip", "exec sleep 5")
    with pytest.raises(TextError, match="does not answer"):
        clipboard.read()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    (desktop / "xclip").unlink()
    with pytest.raises(TextError, match="apt install wl-clipboard"):
        clipboard.read()


def test_read_from_the_clipboard(spark: Command, desktop: Path) -> None:
    install(desktop, "xclip", "printf ''")
    path = f"{desktop}{os.pathsep}{os.environ['PATH']}"
    line = spark.refused("read", "--clipboard", PATH=path, DISPLAY=":0", WAYLAND_DISPLAY="")
    assert "the clipboard holds no text" in line
