"""`spark-mlx say`, playing through a stand-in for the player."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import player_stand
from conftest import REFERENCE, ROOT, AtMost
from player_stand import Stand
from spark_mlx import voices
from spark_mlx.audio.playback import portaudio
from spark_mlx.cli import main
from spark_mlx.cli.screen import Bar, Marker
from spark_mlx.speech import Chunk
from spark_mlx.voice import Voice

TEXT = "Dear Tom, it costs $5 & more.\n\nA second paragraph begins here. And it ends there, too."
LINES = ["Dear Tom, it costs $5 & more.", *TEXT.splitlines()[2].replace(". ", ".\n").split("\n")]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, model: Path) -> list[Stand]:
    monkeypatch.setenv("SPARK_MLX_MODEL", str(model))
    return player_stand.install(monkeypatch)


Output = pytest.CaptureFixture[str]


def test_plays_by_default(opened: list[Stand], capsys: Output) -> None:
    assert main(["say", "-v", str(REFERENCE / "short.wav"), "Hello", "to", "you."]) == 0
    (out,) = opened
    assert out.events == ["open", "close"]
    assert (out.device, out.rate) == (None, 1)
    assert out.written > 0.1
    assert capsys.readouterr().out == ""


def test_options_of_the_player(opened: list[Stand]) -> None:
    assert main(["say", "Hello.", "-r", "270", "-a", "speaker"]) == 0
    assert (opened[0].device, opened[0].rate) == ("speaker", 1.5)


def test_sentences_as_they_begin(opened: list[Stand], capsys: Output) -> None:
    assert main(["say", TEXT, "-i"]) == 0
    assert capsys.readouterr().out.splitlines() == LINES


def test_verbose_and_progress(opened: list[Stand], capsys: Output) -> None:
    assert main(["say", TEXT, "--verbose", "--progress"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    for word in ("ready after", "first samples", "0 underruns", "0 waits", "real-time factor"):
        assert word in err
    assert "char" in err


def times(srt: str) -> list[list[float]]:
    def seconds(time: str) -> float:
        hours, minutes, rest = time.replace(",", ".").split(":")
        return float(hours) * 3600 + float(minutes) * 60 + float(rest)

    rows = [line.split(" --> ") for line in srt.splitlines() if "-->" in line]
    return [[seconds(time) for time in row] for row in rows]


@pytest.mark.parametrize("rate", [180, 360])
def test_subtitles_of_what_is_played(opened: list[Stand], tmp_path: Path, rate: int) -> None:
    srt, vtt = tmp_path / "x.srt", tmp_path / "x.vtt"
    assert main(["say", TEXT, "-r", str(rate), "--srt", str(srt), "--vtt", str(vtt)]) == 0
    written = srt.read_text(encoding="utf-8")
    assert [block.split("\n", 2)[2] for block in written.strip().split("\n\n")] == LINES
    assert times(written)[0][0] == 0
    # To a millisecond, the end of the last cue is that of the sound.
    assert times(written)[-1][1] == pytest.approx(opened[0].written * 180 / rate, abs=1e-3)
    assert times(vtt.read_text(encoding="utf-8")) == times(written)
    assert "$5 &amp; more." in vtt.read_text(encoding="utf-8")


def test_subtitles_of_a_file(opened: list[Stand], tmp_path: Path) -> None:
    srt, wav = tmp_path / "x.srt", tmp_path / "x.wav"
    assert main(["say", TEXT, "-o", str(wav), "--srt", str(srt)]) == 0
    assert opened == []
    assert times(srt.read_text())[-1][1] == pytest.approx(soundfile.info(wav).duration, abs=1e-3)


def test_a_file_at_another_rate(opened: list[Stand], tmp_path: Path) -> None:
    plain, fast, srt = tmp_path / "plain.wav", tmp_path / "fast.wav", tmp_path / "fast.srt"
    assert main(["say", TEXT, "-o", str(plain)]) == 0
    assert main(["say", TEXT, "-o", str(fast), "-r", "360", "--srt", str(srt)]) == 0
    half = soundfile.info(plain).duration / 2
    assert soundfile.info(fast).duration == pytest.approx(half, abs=0.01)
    assert times(srt.read_text())[-1][1] == pytest.approx(half, abs=0.002)


def test_lists(opened: list[Stand], capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.arange(32, dtype=np.int32)
    voices.save(Voice(name="alice", global_tokens=tokens, codec="c", origin="cloned", source="x"))
    assert main(["say", "-v", "?"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert "ada\tpreset, for nano" in listed
    assert any(line.startswith("alice\t") for line in listed)
    devices = [portaudio.Device("mic", 8000, False), portaudio.Device("speaker", 48000, True)]
    monkeypatch.setattr(portaudio, "devices", lambda: devices)
    assert main(["say", "-a", "?"]) == 0
    assert capsys.readouterr().out == "mic\t8000 Hz\nspeaker\t48000 Hz, the default\n"
    assert opened == []


@pytest.mark.parametrize(
    ("args", "complaint", "status"),
    [
        (["-r", "89"], "between 90 and 540 words a minute, not 89", 2),
        (["-r", "541"], "not 541", 2),
        (["-o", "x.wav", "-i"], "leave out --output", 2),
        (["-o", "x.wav", "-a", "y"], "leave out --output", 2),
        (["-i", "--progress"], "leave one out", 2),
        (["--srt", "nowhere/x.srt"], "no folder nowhere", 1),
        (["--vtt", "nowhere/x.vtt"], "no folder nowhere", 1),
        (["-a", "nowhere"], "no output device 'nowhere'", 1),
        (["-v", "nobody"], "no voice 'nobody'", 1),
        (["--temperature", "-1"], "temperature", 1),
    ],
)
def test_refusals(
    opened: list[Stand], capsys: Output, args: list[str], complaint: str, status: int
) -> None:
    assert main(["say", "Hello.", *args]) == status
    out, err = capsys.readouterr()
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert opened == []


def test_stdin_without_being_asked(
    opened: list[Stand], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"From a pipe.")))
    assert main(["say", "-i"]) == 0
    assert capsys.readouterr().out == "From a pipe.\n"


PROGRAM = """
import sys
import player_stand

class MonkeyPatch:
    def setattr(self, target, name, value):
        setattr(target, name, value)

player_stand.install(MonkeyPatch())
player_stand.Stand.SPEED = 1.0
exit_ = player_stand.Stand.__exit__

def leave(self, *error):
    exit_(self, *error)
    print(*self.events, file=sys.stderr)

player_stand.Stand.__exit__ = leave
from spark_mlx.cli import main
sys.exit(main(["say", "-", "-i"]))
"""


def start(model: Path) -> subprocess.Popen[bytes]:
    """A process that says what stands on stdin, through the stand-in."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "tests"),
            "SPARK_MLX_MODEL": str(model),
            "PYTHONWARNINGS": "error",
        },
    )


def test_ctrl_c_while_playing(model: Path, at_most: AtMost) -> None:
    process = start(model)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"This is a sentence of very many. " * 500)
    process.stdin.close()
    process.stdin = None
    assert process.stdout.readline() == b"This is a sentence of very many.\n"
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, stderr = process.communicate(timeout=30)
    at_most(time.monotonic() - begun, 5)
    assert process.returncode == 130
    assert stderr == b"open stop close\n"


def test_the_process_ends_well(model: Path) -> None:
    # A thread that leaves MLX running aborts the process about every other time.
    for _ in range(4):
        process = start(model)
        stdout, stderr = process.communicate(b"Hello.", timeout=60)
        assert process.returncode == 0
        assert stdout == b"Hello.\n"
        assert b"open close" in stderr


# What a terminal shows.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What can be read on it; what is in reverse video stands in brackets."""
        rows: list[str] = []
        text = self.getvalue().replace("\x1b[7m", "[").replace("\x1b[0m", "]")
        while text:
            if text.startswith("\x1b["):
                up, text = text[2:].split("A\r\x1b[J", 1)
                del rows[-int(up) :]
            else:
                row, text = text.split("\n", 1)
                rows.append(row)
        return rows


def heard(piece: int, text: str, *, pause: bool = False) -> Chunk:
    nothing = np.zeros(0, np.float32)
    return Chunk(nothing, 16_000, 0.0, piece, piece, text, (0, len(text)), text, pause)


def test_a_terminal_marks_what_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "21")
    monkeypatch.setenv("LINES", "4")
    terminal = Terminal()
    with Marker(terminal) as marker:
        marker(heard(0, "One two,\nthree."), 0)
        assert terminal.screen() == ["[One two, three.]"]
        marker(heard(0, "One two,\nthree."), 0.1)
        marker(heard(0, "One two,\nthree.", pause=True), 0.2)
        assert terminal.screen() == ["One two, three."]
        marker(heard(1, "Four five six seven eight nine."), 0.3)
        assert terminal.screen() == [
            "One two, three.",
            "[Four five six]",
            "[seven eight nine.]",
        ]
        # Without a pause; and only what the window of four lines holds can be unmarked again.
        marker(heard(2, "x" * 20 + " " + "y" * 20 + " a" * 30), 0.4)
        rows = ["x" * 20, "[" + "y" * 20 + "]"]
        shown = terminal.screen()
        assert shown[1:3] == ["Four five six", "seven eight nine."]
        assert sum(row.startswith("[") for row in shown) == 3
        assert shown[3] == rows[0]
    assert not any("[" in row for row in terminal.screen())
    assert "".join(terminal.screen()).count("a") == 30


def test_a_bar_moves_with_what_is_heard() -> None:
    out = io.StringIO()
    with Bar(10, out) as bar:
        bar(heard(0, "12345678"), 0)
        bar(heard(0, "12345678", pause=True), 1)
        assert bar.done == 8
