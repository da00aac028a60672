"""Every script in examples/ runs as its docstring says, with the tiny model as the default one."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import REFERENCE, ROOT
from spark_mlx.audio import files
from spark_mlx.checkpoints import hub
from spark_mlx.voice import Voice

# examples/random_checkpoint.py makes the model itself; it has tests of its own.
EXAMPLES = {
    "audiobook",
    "clone_and_say",
    "codec_round_trip",
    "create_voice",
    "random_checkpoint",
}
# The soaks share card.py.
BENCHMARKS = {
    "beside_llama",
    "card",
    "draw_speech",
    "look_ahead",
    "profile_sentence",
    "soak_daemon",
    "soak_playback",
    "soak_speech",
}

Run = Callable[..., str]


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Run:
    """Runs a script in a folder that holds alice.wav; gives back what it printed."""
    shutil.copy(REFERENCE / "short.wav", tmp_path / "alice.wav")

    def run(script: str, *args: str) -> str:
        folder = "examples" if script in EXAMPLES else "benchmarks"
        done = subprocess.run(
            [sys.executable, str(ROOT / folder / f"{script}.py"), *args],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "SPARK_MLX_MODEL": str(model), "PYTHONWARNINGS": "error"},
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def samples(path: Path) -> np.ndarray:
    """A sound file that something was spoken into."""
    sound: np.ndarray
    sound, rate = soundfile.read(path)
    assert rate == 16_000
    assert np.abs(sound).max() > 0.01
    return sound


def test_every_script_is_run_here() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == EXAMPLES
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} == BENCHMARKS


def test_beside_llama(run: Run) -> None:
    if importlib.util.find_spec("llama_cpp") and importlib.util.find_spec("gguf"):
        run("random_checkpoint", "tiny", "checkpoint")
        lines = run("beside_llama", "checkpoint").splitlines()
        assert [line.split()[0] for line in lines] == ["float32", "q8_0", "q4_0"]
    else:  # they take minutes to build
        assert "CHECKPOINT" in run("beside_llama", "--help").upper()


def test_clone_and_say(run: Run, tmp_path: Path) -> None:
    printed = run("clone_and_say", "alice.wav", "Hi.", "morning.wav", "--consent", "by mail")
    sound = samples(tmp_path / "morning.wav")
    assert printed == f"morning.wav: {len(sound) / 16_000:.2f} s as alice\n"
    voice = Voice.load(tmp_path / "morning.npz")
    assert (voice.name, voice.origin, voice.consent) == ("alice", "cloned", "by mail")


def test_create_voice(run: Run, tmp_path: Path) -> None:
    printed = run("create_voice", "tom.npz", "--gender", "male", "--pitch", "low", "--seed", "7")
    assert printed.splitlines()[1:] == ["tom-1.wav", "tom-2.wav"]
    first, second = (samples(tmp_path / f"tom-{i}.wav") for i in (1, 2))
    assert not np.array_equal(first, second)
    voice = Voice.load(tmp_path / "tom.npz")
    assert voice.attributes is not None
    assert (voice.name, voice.attributes.gender, voice.attributes.pitch) == ("tom", "male", "low")


def test_codec_round_trip(run: Run, tmp_path: Path) -> None:
    printed = run("codec_round_trip", "alice.wav", "again.wav")
    count = len(samples(tmp_path / "again.wav")) // 320
    seconds = soundfile.info(tmp_path / "alice.wav").duration
    assert f"{seconds:.2f} s are 32 global tokens" in printed
    assert f"and {count} semantic tokens" in printed
    assert f"{count / seconds:.1f} a second" in printed


def test_audiobook(run: Run, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("One.\n\n* * *\n\nTwo,\nthree.\n", encoding="utf-8")
    assert "2 paragraphs" in run("audiobook", "book.txt", "book.flac", "--seed", "3")
    book = samples(tmp_path / "book.flac")
    run("audiobook", "book.txt", "again.flac", "--seed", "3")
    assert np.array_equal(samples(tmp_path / "again.flac"), book)
    # Nobody speaks between the paragraphs.
    assert len(files.silences(book.astype(np.float32), 16_000, seconds=0.65)) == 1


def test_profile_sentence(run: Run) -> None:
    lines = run("profile_sentence").splitlines()
    stages = {line[:40].strip(): float(line[40:49]) for line in lines}
    assert "prenet" in stages
    assert sum(stages.values()) == pytest.approx(2 * stages["in all"], abs=0.05)
    assert lines[-1].endswith("for 4 s")


def test_draw_speech(run: Run, tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("needs matplotlib (pip install 'spark-mlx[nano]')")
    printed = run("draw_speech", "Hi.", "hi.flac", "hi.png")
    assert f"{len(samples(tmp_path / 'hi.flac')) / 16_000:.2f} s" in printed
    assert (tmp_path / "hi.png").read_bytes().startswith(b"\x89PNG")


def test_decibels() -> None:
    from draw_speech import HOP, RANGE, decibels

    tone = np.sin(np.arange(16_000) * 2 * np.pi * 1000 / 16_000).astype(np.float32)
    level = decibels(tone)
    assert level.shape == (257, 16_000 // HOP + 1)
    assert (level[:, :150].argmax(axis=0) == 32).all()  # 1 kHz of bins 31.25 Hz apart
    assert level.max() == 0
    assert level.min() == -RANGE


def test_look_ahead(run: Run) -> None:
    rows = [line.split() for line in run("look_ahead").splitlines()[1:]]
    errors = [float(row[2]) for row in rows]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < -100  # dB: the whole receptive field is exact


def test_soak_playback(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux" or ctypes.util.find_library("portaudio") is None:
        pytest.skip("needs PortAudio on ALSA (apt install libportaudio2)")
    (tmp_path / "asound.conf").write_text("pcm.!default { type null }\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    lines = run("soak_playback", "--minutes", "0.02", "--stops", "2").splitlines()
    figures = {line[:18].strip(): line[18:] for line in lines}
    assert figures["played"].startswith("1.20 s in ")
    assert figures["heard"] == "1.20 s"
    assert figures["stops"] == "2"
    stops = [float(figures[name].removesuffix(" ms")) for name in ("median stop", "slowest stop")]
    latency = float(figures["output latency"].removesuffix(" ms"))
    assert latency <= stops[0] <= stops[1]


portaudio_on_alsa = pytest.mark.skipif(
    sys.platform != "linux" or ctypes.util.find_library("portaudio") is None,
    reason="needs PortAudio on ALSA (apt install libportaudio2)",
)


@portaudio_on_alsa
def test_soak_speech(run: Run) -> None:
    nano = str(hub.BUILT_IN)
    for tries_left in (2, 1, 0):
        try:
            printed = run("soak_speech", "--minutes", "0.1", "--speed", "4", "--model", nano)
            break
        except AssertionError:  # on busy cores the card may have waited, and kept that silence
            if not tries_left:
                raise
    lines = printed.splitlines()
    figures = {line[:12].strip(): line[12:] for line in lines}
    assert float(figures["spoken"].split()[0]) > 6
    assert figures["the file"] == "equals the chunks"


@portaudio_on_alsa
def test_soak_daemon(run: Run, tmp_path: Path) -> None:
    short = "--minutes 0.2 --speed 20 --kills 2 --malformed 20 --losses 1 --restarts 1 --stops 3"
    printed = run("soak_daemon", *short.split(), "--csv", "soak.csv")
    assert "20, all refused" in printed
    assert "clients killed     2" in printed
    assert "daemon restarted   1 times" in printed
    assert "stops              3" in printed
    assert "fault" not in printed
    header, *rows = (tmp_path / "soak.csv").read_text().splitlines()
    assert header == "seconds,heard_s,memory_mb,sentences,fault"
    assert float(rows[-1].split(",")[2]) > 10
