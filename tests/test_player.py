"""Playback through a stand-in for sounddevice, and through PortAudio where it is installed."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spark_mlx import player
from spark_mlx.errors import PlaybackError

SOUND = np.linspace(-1, 1, 16_000, dtype=np.float32)


class PortAudioError(Exception):
    pass


class Stand:
    """A stand-in for the sounddevice module, and for its stream."""

    PortAudioError = PortAudioError

    def __init__(self, rates: tuple[int, ...] = (16_000,), fails: BaseException | None = None):
        self.rates = rates
        self.fails = fails
        self.entries: list[dict[str, Any]] = [
            {"name": "mic", "max_output_channels": 0, "default_samplerate": 8000.0},
            {"name": "speaker", "max_output_channels": 2, "default_samplerate": 48000.0},
        ]
        self.default = SimpleNamespace(device=(0, 1))
        self.events: list[str] = []
        self.blocks: list[np.ndarray] = []
        self.rate = 0

    def query_devices(self, kind: str | None = None) -> Any:
        if kind is None:
            return self.entries
        if not self.entries:
            raise PortAudioError("Error querying device -1")
        return self.entries[1]

    def check_output_settings(self, channels: int, samplerate: int) -> None:
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    def OutputStream(self, samplerate: int, channels: int, dtype: str) -> Stand:  # noqa: N802
        self.check_output_settings(channels, samplerate)
        self.rate = samplerate
        return self

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *error: object) -> None:
        self.events.append("stop")

    def write(self, block: np.ndarray) -> None:
        self.blocks.append(block)
        if self.fails is not None and len(self.blocks) == 3:
            raise self.fails

    def abort(self) -> None:
        self.events.append("abort")


def installed(monkeypatch: pytest.MonkeyPatch, stand: Stand) -> Stand:
    monkeypatch.setitem(sys.modules, "sounddevice", stand)
    return stand


def test_plays_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = installed(monkeypatch, Stand())
    player.play(SOUND, 16_000)
    np.testing.assert_array_equal(np.concatenate(stand.blocks), SOUND)
    assert stand.rate == 16_000
    assert stand.events == ["stop"]
    assert max(map(len, stand.blocks)) <= 800


def test_nothing_to_play_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = installed(monkeypatch, Stand())
    player.play(SOUND[:0], 16_000)
    assert stand.rate == 0


def test_resamples_for_a_device_that_refuses_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = installed(monkeypatch, Stand(rates=(48_000,)))
    player.play(SOUND, 16_000)
    assert stand.rate == 48_000
    assert sum(map(len, stand.blocks)) == 48_000


def test_ctrl_c_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = installed(monkeypatch, Stand(fails=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        player.play(SOUND, 16_000)
    assert len(stand.blocks) == 3
    assert stand.events[0] == "abort"


def test_a_device_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Stand(fails=PortAudioError("unplugged")))
    with pytest.raises(PlaybackError, match=r"speaker does not play \(unplugged\).*-o"):
        player.play(SOUND, 16_000)
    installed(monkeypatch, Stand(rates=()))
    with pytest.raises(PlaybackError, match="Invalid sample rate"):
        player.play(SOUND, 16_000)


def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = installed(monkeypatch, Stand())
    stand.entries = []
    with pytest.raises(PlaybackError, match=r"no output device.*-o"):
        player.play(SOUND, 16_000)
    assert player.devices() == []


def test_no_portaudio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    for call in (lambda: player.play(SOUND, 16_000), player.devices):
        with pytest.raises(PlaybackError, match=r"not found.*libportaudio2.*-o"):
            call()


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Stand())
    assert player.devices() == [player.Device("speaker", 48_000, True)]


def play_for_real(config: Path) -> subprocess.CompletedProcess[str]:
    """Plays half a second of nothing in a new process, since PortAudio looks for devices once."""
    if sys.platform != "linux" or ctypes.util.find_library("portaudio") is None:
        pytest.skip("needs PortAudio on ALSA (apt install libportaudio2)")
    code = (
        "import numpy as np\n"
        "from spark_mlx import player\n"
        "player.play(np.zeros(8000, np.float32), 16000)\n"
        "print([device.name for device in player.devices()])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ALSA_CONFIG_PATH": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_real_portaudio(tmp_path: Path) -> None:
    (tmp_path / "asound.conf").write_text("pcm.!default { type null }\n")
    result = play_for_real(tmp_path / "asound.conf")
    assert result.returncode == 0, result.stderr
    assert "default" in result.stdout


@pytest.mark.skipif(any(Path("/dev/snd").glob("pcm*p")), reason="this machine has a sound card")
def test_real_portaudio_without_a_device(tmp_path: Path) -> None:
    (tmp_path / "asound.conf").write_text("pcm.!default { type hw card 99 }\n")
    result = play_for_real(tmp_path / "asound.conf")
    assert "PlaybackError: this machine has no output device" in result.stderr
