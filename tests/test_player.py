"""Playback through a stand-in for sounddevice, and through PortAudio where it is installed.

The stand-in shows what no device does on demand: it underflows, hangs and goes away. PortAudio
plays to a pipe through ALSA's file plugin; reading it at the pace of a sound card paces PortAudio.
"""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soxr

from conftest import AtMost
from spark_mlx.audio import player
from spark_mlx.audio.files import Samples
from spark_mlx.audio.playback import output, portaudio
from spark_mlx.audio.player import Player
from spark_mlx.audio.time_stretch import Stretch
from spark_mlx.errors import PlaybackError

RATE = 16_000
BLOCK = 160
# Not 0 anywhere, so that what is 0 is silence.
SOUND = np.random.default_rng(1).uniform(0.1, 0.5, 2 * RATE).astype(np.float32)
TONE = (0.5 * np.sin(2 * np.pi * 200 / RATE * np.arange(2 * RATE))).astype(np.float32)
TONE_3 = (0.5 * np.sin(2 * np.pi * 200 / RATE * np.arange(3 * RATE))).astype(np.float32)
STEP = float(np.abs(np.diff(TONE)).max())
FADED = STEP + 0.5 / BLOCK  # of a fade within a block


class PortAudioError(Exception):
    pass


class Stream:
    """A device that takes a block every 10 ms, and keeps them all."""

    def __init__(self, stand: Stand, settings: dict[str, Any]) -> None:
        self.stand = stand
        self.settings = settings
        self.latency = stand.latency
        self.blocks: list[Samples] = []
        self.times: list[float] = []
        self.underflow = False
        self.frozen = False
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        due = time.perf_counter()
        while not self.ended.is_set():
            if not self.frozen:
                out = np.full((self.settings["blocksize"], self.settings["channels"]), np.nan)
                now = time.perf_counter()
                times = SimpleNamespace(currentTime=now, outputBufferDacTime=now + self.latency)
                status = SimpleNamespace(output_underflow=self.underflow)
                self.underflow = False
                self.settings["callback"](out, len(out), times, status)
                assert (out == out[:, :1]).all()
                self.blocks.append(out[:, 0].astype(np.float32))
                self.times.append(now)
            due += 0.01
            time.sleep(max(0.0, due - time.perf_counter()))
        self.settings["finished_callback"]()

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stand.events.append("stop")
        self.vanish()

    def abort(self) -> None:
        self.stand.events.append("abort")
        self.vanish()

    def close(self) -> None:
        self.stand.events.append("close")

    def vanish(self) -> None:
        self.ended.set()
        self.thread.join()

    @property
    def sound(self) -> Samples:
        """All it was given, without the silence before and after."""
        return trimmed(np.concatenate(self.blocks))


class Stand:
    """A stand-in for the sounddevice module."""

    PortAudioError = PortAudioError

    def __init__(self, *rates: int, latency: float = 0.02) -> None:
        self.rates = rates or (RATE,)
        self.latency = latency
        self.fails: Exception | None = None
        self.flaps = False
        self.entries: list[dict[str, Any]] = [
            {"name": "mic", "max_output_channels": 0, "default_samplerate": 8000.0},
            {"name": "Speaker (left)", "max_output_channels": 2, "default_samplerate": 48000.0},
            {"name": "Headset", "max_output_channels": 1, "default_samplerate": 44100.0},
        ]
        self.default = SimpleNamespace(device=(0, 1))
        self.events: list[str] = []
        self.streams: list[Stream] = []

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any:
        if device is None and kind is None:
            return self.entries
        if not self.entries:
            raise PortAudioError("Error querying device -1")
        return self.entries[1 if device is None else device]

    def check_output_settings(self, device: int | None, channels: int, samplerate: int) -> None:
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    def OutputStream(self, **settings: Any) -> Stream:  # noqa: N802
        device, channels = settings["device"], settings["channels"]
        self.check_output_settings(device, channels, settings["samplerate"])
        if self.fails is not None:
            raise self.fails
        self.streams.append(Stream(self, settings))
        if self.flaps:
            self.stream.ended.set()
        return self.stream

    def _terminate(self) -> None:
        self.events.append("terminate")

    def _initialize(self) -> None:
        self.events.append("initialize")


def trimmed(sound: Samples) -> Samples:
    """Without the silence before and after."""
    loud = np.flatnonzero(sound)
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound[:0]


def until(ready: Callable[[], bool]) -> None:
    latest = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < latest
        time.sleep(0.002)


def steepest(sound: Samples) -> float:
    return float(np.abs(np.diff(sound)).max())


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    stand = Stand()
    monkeypatch.setitem(sys.modules, "sounddevice", stand)
    yield stand
    assert not any(stream.thread.is_alive() for stream in stand.streams)


def test_plays_every_sample(stand: Stand) -> None:
    player.play(SOUND[:RATE], RATE)
    np.testing.assert_array_equal(stand.stream.sound, SOUND[:RATE])
    assert stand.stream.settings["samplerate"] == RATE
    assert stand.stream.settings["channels"] == 2
    assert stand.events == ["stop", "close"]


def test_nothing_to_play_opens_nothing(stand: Stand) -> None:
    player.play(SOUND[:0], RATE)
    assert not stand.streams


def test_chunks_join(stand: Stand) -> None:
    with Player(RATE) as out:
        start = 0
        for size in (1, 2, 3, 500, 319, 7_000, 1, 4_000):
            out.write(SOUND[start : start + size])
            start += size
        out.drain()
        assert out.position == pytest.approx(start / RATE)
        out.write(SOUND[:BLOCK])  # after the end of speech something new begins, at once
    found = np.concatenate(stand.stream.blocks)
    np.testing.assert_array_equal(trimmed(found)[:start], SOUND[:start])
    np.testing.assert_array_equal(trimmed(found)[-BLOCK:], SOUND[:BLOCK])
    assert (out.waits, out.underruns) == (0, 0)


def test_what_was_written_may_change_afterwards(stand: Stand) -> None:
    sound = SOUND[:4_000].copy()
    with Player(RATE) as out:
        out.write(sound)
        sound[:] = 0
    np.testing.assert_array_equal(stand.stream.sound, SOUND[:4_000])


def test_resamples_for_a_device_that_refuses_the_rate(stand: Stand) -> None:
    stand.rates = (48_000,)
    with Player(RATE) as out:
        for start in range(0, RATE, 1_234):
            out.write(TONE[start : min(start + 1_234, RATE)])
        out.drain()
        assert out.position == pytest.approx(1.0)
    assert stand.stream.settings["samplerate"] == 48_000
    found, whole = stand.stream.sound, trimmed(soxr.resample(TONE[:RATE], RATE, 48_000))
    assert len(found) == pytest.approx(48_000, abs=10)
    inner = found[2_000:-2_000]
    place = int(np.argmin([np.abs(whole[i : i + 500] - inner[:500]).max() for i in range(2_400)]))
    np.testing.assert_allclose(inner, whole[place : place + len(inner)], atol=1e-3)


@pytest.mark.parametrize("device_rate", [RATE, 48_000])
def test_rate(stand: Stand, device_rate: int) -> None:
    stand.rates = (device_rate,)
    with Player(RATE, rate=2.0) as out:
        out.write(TONE)
        until(lambda: out.position > 0.5)
        given = len(stand.stream.sound) / device_rate
        assert out.position == pytest.approx(2 * (given - stand.latency), abs=0.1)
        out.drain()
        assert out.position == pytest.approx(2.0)
    assert len(stand.stream.sound) == pytest.approx(device_rate, rel=0.02)
    assert steepest(stand.stream.sound[:-200]) < 1.1 * STEP


def test_a_new_rate_is_heard_soon(stand: Stand) -> None:
    sound = np.arange(1, 3 * RATE, dtype=np.float32)  # a sample tells where it is from
    with Player(RATE) as out:
        out.write(sound)
        until(lambda: out.position > 0.3)
        first = len(stand.stream.blocks)
        out.rate = 3.0
        until(lambda: len(stand.stream.blocks) > first + 40)
        out.stop()
    last = np.array([block[-1] for block in stand.stream.blocks[first:]])
    advance = np.convolve(np.diff(last), np.ones(4) / 4, "valid") / BLOCK
    soon = int(np.argmax(advance > 2))
    assert advance[0] == 1
    assert 0 < soon <= 15  # blocks of 10 ms
    assert out.waits == 0


def test_volume(stand: Stand) -> None:
    with Player(RATE, volume=0.5) as out:
        out.write(TONE[: RATE // 2])
        until(lambda: out.position > 0.2)
        out.volume = 0.0
        first = len(stand.stream.blocks)
        assert out.volume == 0.0
    found = stand.stream.sound
    np.testing.assert_array_equal(found[:1_600], trimmed(TONE)[:1_600] * np.float32(0.5))
    assert not np.concatenate(stand.stream.blocks[first + 2 :]).any()
    assert steepest(found) < FADED


def test_pause_loses_nothing(stand: Stand) -> None:
    with Player(RATE) as out:
        out.write(SOUND[: RATE // 2])
        until(lambda: out.position > 0.1)
        out.pause()
        first = len(stand.stream.blocks)
        assert out.paused
        until(lambda: len(stand.stream.blocks) > first + 20)
        held = out.position
        assert not np.concatenate(stand.stream.blocks[first + 2 : first + 20]).any()
        until(lambda: len(stand.stream.blocks) > first + 30)
        assert out.position == held
        out.resume()
        assert not out.paused
    silent = [i for i, block in enumerate(stand.stream.blocks) if not block.any() and i > first]
    out_at, in_at = silent[0] - 1, next(i for i in silent if stand.stream.blocks[i + 1].any()) + 1
    found = list(stand.stream.blocks)
    # The block that faded out is the one that fades in, and the two add up to it.
    found[in_at] = found[in_at] + found[out_at]
    np.testing.assert_allclose(found[in_at][0], SOUND[round(held * RATE)], rtol=1e-5)
    whole = np.concatenate((*found[:out_at], *found[in_at:]))
    np.testing.assert_allclose(trimmed(whole), SOUND[: RATE // 2], rtol=1e-5)
    assert steepest(np.concatenate(stand.stream.blocks[out_at - 1 : out_at + 2])) < 0.5
    assert out.waits == 0


def test_pause_before_anything_is_written(stand: Stand) -> None:
    with Player(RATE) as out:
        out.pause()
        out.write(SOUND[:1_000])
        time.sleep(0.1)
        assert not np.concatenate(stand.stream.blocks).any()
        out.resume()
    np.testing.assert_array_equal(stand.stream.sound, SOUND[:1_000])


def test_stop(stand: Stand) -> None:
    with Player(RATE) as out:
        for _ in range(3):
            out.write(TONE)
            begun = out.position
            until(lambda begun=begun: out.position > begun + 0.1)
            out.stop()
            first = len(stand.stream.blocks)
            until(lambda first=first: len(stand.stream.blocks) > first + 10)
            assert not np.concatenate(stand.stream.blocks[first + 2 :]).any()
        heard = out.position
        assert 0.3 < heard < 0.6
        before = len(stand.stream.blocks)
        out.write(SOUND[:1_000])
        out.drain()
        assert out.position == pytest.approx(heard + 1_000 / RATE)
    blocks = stand.stream.blocks
    np.testing.assert_array_equal(trimmed(np.concatenate(blocks[before:])), SOUND[:1_000])
    assert steepest(np.concatenate(blocks[:before])) < FADED
    assert out.waits == 0


def test_stop_while_paused(stand: Stand) -> None:
    with Player(RATE) as out:
        out.write(TONE)
        until(lambda: out.position > 0.1)
        out.pause()
        time.sleep(0.05)
        out.stop()
        first = len(stand.stream.blocks)
        out.resume()
        out.drain()
        time.sleep(0.05)
    assert not np.concatenate(stand.stream.blocks[first:]).any()


def test_write_waits_while_much_is_queued(stand: Stand) -> None:
    with Player(RATE) as out:
        out.pause()
        out.write(np.concatenate((SOUND, SOUND[: RATE // 2])))  # 2.5 s
        writer = threading.Thread(target=out.write, args=[np.concatenate((SOUND, SOUND))])
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        out.stop()
        writer.join(0.1)
        assert not writer.is_alive()
        out.resume()
        out.drain()
    assert not stand.stream.sound.size


def test_speech_that_breaks_off(stand: Stand) -> None:
    with Player(RATE) as out:
        out.write(TONE[: RATE // 10 + 20])  # ends at a crest
        time.sleep(0.3)
        assert out.waits == 0  # nobody can know yet that more is coming
        out.write(TONE[RATE // 10 + 20 : RATE // 5])
        out.drain()
        assert out.waits == 1
        time.sleep(0.1)
        out.write(TONE[: RATE // 10])
    assert out.waits == 1
    assert out.position == pytest.approx(0.3)
    assert steepest(np.concatenate(stand.stream.blocks)) < 2 * STEP


def test_underruns_are_counted(stand: Stand) -> None:
    with Player(RATE) as out:
        for count in (1, 2):
            stand.stream.underflow = True
            until(lambda count=count: out.underruns == count)
    assert (out.underruns, out.waits) == (2, 0)


def test_drain_waits_for_the_device(stand: Stand) -> None:
    stand.latency = 0.3
    with Player(RATE) as out:
        out.write(SOUND[:3_200])
        until(lambda: len(stand.stream.sound) == 3_200)
        assert out.position < 0.15
        out.drain()
        last = max(i for i, block in enumerate(stand.stream.blocks) if block.any())
        assert time.perf_counter() > stand.stream.times[last] + 0.3
        assert out.position == pytest.approx(0.2)


def test_drain_waits_for_what_is_being_made(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Stretch.process

    def slowly(*arguments: Any) -> Samples:
        time.sleep(0.1)
        return made(*arguments)

    monkeypatch.setattr(Stretch, "process", slowly)
    player.play(SOUND[:200], RATE)
    np.testing.assert_array_equal(stand.stream.sound, SOUND[:200])


def test_ctrl_c_stops_at_once(stand: Stand, at_most: AtMost) -> None:
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Player(RATE) as out:
        out.write(SOUND)
        until(lambda: out.position > 0.1)
        raise KeyboardInterrupt
    assert stand.events == ["abort", "close"]
    assert 0 < len(stand.stream.sound) < RATE
    at_most(time.monotonic() - begun, 1.5)
    assert stand.stream.sound[-1] < 0.01  # faded out


def test_ctrl_c_while_the_rest_is_played(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(out: Player) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Player, "drain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        player.play(SOUND, RATE)
    assert stand.events == ["abort", "close"]


def test_a_device_that_goes_away(stand: Stand) -> None:
    with Player(RATE, device="headset") as out:
        out.write(SOUND)
        until(lambda: out.position > 0.3)
        stand.stream.vanish()
        until(lambda: len(stand.streams) == 2)
        out.drain()
        assert out.position == pytest.approx(2.0)
    assert stand.events == ["abort", "close", "terminate", "initialize", "stop", "close"]
    first, second = stand.streams
    assert (first.settings["device"], second.settings["device"]) == (2, None)
    again = second.sound
    begin = len(SOUND) - len(again)
    # What the device had, but nobody heard, is played again; it fades in.
    assert len(first.sound) - 0.05 * RATE <= begin < len(first.sound)
    np.testing.assert_array_equal(again[BLOCK:], SOUND[begin + BLOCK :])
    assert again[0] < 0.01
    assert out.waits == 0


@pytest.mark.parametrize("rate", [1.0, 1.5])
def test_the_next_device_has_another_rate(stand: Stand, rate: float) -> None:
    with Player(RATE, rate=rate) as out:
        out.write(TONE)
        until(lambda: out.position > 0.5)
        stand.rates = (48_000,)
        stand.stream.vanish()
        out.drain()
        assert out.position == pytest.approx(2.0)
    first, second = (stream.sound for stream in stand.streams)
    assert len(first) / RATE + len(second) / 48_000 == pytest.approx(2 / rate, abs=0.1)
    assert steepest(second[:-300]) < FADED


def test_a_device_that_hangs(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HUNG", 0.3)
    with Player(RATE) as out:
        out.write(SOUND)
        until(lambda: out.position > 0.2)
        stand.stream.frozen = True
        out.drain()
    assert len(stand.streams) == 2
    np.testing.assert_array_equal(stand.stream.sound[-RATE:], SOUND[-RATE:])


def test_stop_while_the_device_is_away(stand: Stand) -> None:
    with Player(RATE) as out:
        out.write(TONE)
        until(lambda: out.position > 0.1)
        stand.fails = PortAudioError("unplugged")
        stand.stream.vanish()
        out.stop()
        out.write(SOUND[:4_000])
        stand.fails = None
    np.testing.assert_array_equal(stand.stream.sound[BLOCK:], SOUND[BLOCK:4_000])


@pytest.mark.parametrize("flaps", [False, True])
def test_a_device_that_does_not_come_back(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, at_most: AtMost, flaps: bool
) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0.5)
    begun = time.monotonic()
    with pytest.raises(PlaybackError, match=r"play.*; write a file.*-o"), Player(RATE) as out:
        out.write(SOUND)
        if flaps:
            stand.flaps = True
        else:
            stand.fails = PortAudioError("unplugged")
        stand.stream.vanish()
        while True:
            out.write(SOUND)
    waited = time.monotonic() - begun
    assert waited > 0.5
    at_most(waited, 5)


def test_a_device_that_cannot_be_opened(stand: Stand) -> None:
    stand.fails = PortAudioError("busy")
    with pytest.raises(PlaybackError, match=r"Speaker \(left\) does not play \(busy\).*-o"):
        player.play(SOUND, RATE)
    stand.fails, stand.rates = None, (1,)
    with pytest.raises(PlaybackError, match="Invalid sample rate"):
        player.play(SOUND, RATE)


@pytest.mark.parametrize(
    ("device", "index"),
    [(None, None), (2, 2), ("2", 2), ("speaker (left)", 1), ("head", 2), ("e", 1)],
)
def test_device(stand: Stand, device: str | int | None, index: int | None) -> None:
    with Player(RATE, device=device):
        assert stand.stream.settings["device"] == index
        assert stand.stream.settings["channels"] == (1 if index == 2 else 2)


@pytest.mark.parametrize("device", ["mic", 0, -1, 7, "", "radio"])
def test_unknown_device(stand: Stand, device: str | int) -> None:
    with pytest.raises(PlaybackError, match=r"there are 1: Speaker \(left\), 2: Headset") as error:
        Player(RATE, device=device)
    assert repr(device) in str(error.value)


def test_settings_out_of_range(stand: Stand) -> None:
    for setting in ({"rate": 0.4}, {"rate": 3.1}, {"rate": float("nan")}):
        with pytest.raises(PlaybackError, match=r"rate .*; give 0\.5 to 3"):
            Player(RATE, **setting)
    for volume in (-0.1, 5.0, float("nan")):
        with pytest.raises(PlaybackError, match=r"volume .*; give 0 to 4"):
            Player(RATE, volume=volume)
    with Player(RATE) as out:
        with pytest.raises(PlaybackError, match="rate 9"):
            out.rate = 9
        with pytest.raises(PlaybackError, match=r"\(2, 3\).*one channel"):
            out.write(np.zeros((2, 3)))
        assert out.rate == 1.0


def test_outside_of_its_with_statement(stand: Stand) -> None:
    out = Player(RATE)
    for _ in range(2):
        with pytest.raises(PlaybackError, match="not open; use it in a with statement"):
            out.write(SOUND)
        with pytest.raises(PlaybackError, match="not open"):
            out.drain()
        if not stand.streams:
            with out:
                pass


def test_no_device(stand: Stand) -> None:
    stand.entries = []
    with pytest.raises(PlaybackError, match=r"no output device.*-o"):
        player.play(SOUND, RATE)
    with pytest.raises(PlaybackError, match=r"no output device 'x'; write a file"):
        Player(RATE, device="x")
    assert portaudio.devices() == []


def test_no_portaudio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    for call in (lambda: player.play(SOUND, RATE), portaudio.devices):
        with pytest.raises(PlaybackError, match=r"not found.*libportaudio2.*-o"):
            call()


def test_devices(stand: Stand) -> None:
    assert portaudio.devices() == [
        portaudio.Device("Speaker (left)", 48_000, True),
        portaudio.Device("Headset", 44_100, False),
    ]


# With PortAudio itself, each in a process of its own: PortAudio looks for devices once.

START = """
import numpy as np, sys, time
from spark_mlx.audio.playback.portaudio import devices
from spark_mlx.audio.player import Player, play
tone = (0.5 * np.sin(2 * np.pi * 200 / 16000 * np.arange(48000))).astype(np.float32)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where ALSA's configuration goes."""
    if sys.platform != "linux" or ctypes.util.find_library("portaudio") is None:
        pytest.skip("needs PortAudio on ALSA (apt install libportaudio2)")
    return tmp_path / "asound.conf"


def start(config: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START + code],
        env=os.environ | {"ALSA_CONFIG_PATH": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_real_portaudio(config: Path) -> None:
    config.write_text("pcm.!default { type null }\n")
    code = "play(tone, 16000); print([device.name for device in devices()])"
    printed, errors = start(config, code).communicate(timeout=20)
    assert "default" in printed, errors


@pytest.mark.skipif(any(Path("/dev/snd").glob("pcm*p")), reason="this machine has a sound card")
def test_real_portaudio_without_a_device(config: Path) -> None:
    config.write_text("pcm.!default { type hw card 99 }\n")
    _, errors = start(config, "play(tone, 16000)").communicate(timeout=20)
    assert "PlaybackError: this machine has no output device" in errors


class Card:
    """A pipe that ALSA plays into, read no faster than a sound card would."""

    def __init__(self, config: Path) -> None:
        self.pipe = config.parent / "card"
        os.mkfifo(self.pipe)
        config.write_text(
            "pcm.!default { type file slave.pcm { type null } "
            f'file "{self.pipe}" format raw }}\n'
        )

    def listen(self, process: subprocess.Popen[str], rate: int, most: float = 60.0) -> Samples:
        """What the process plays, (N,) without silence around it, or the first seconds of it."""
        import fcntl  # not on Windows

        parts: list[bytes] = []
        flags = os.O_RDONLY | os.O_NONBLOCK  # ALSA opens and closes it to see whether it is there
        with os.fdopen(os.open(self.pipe, flags), "rb", buffering=0) as pipe:
            fcntl.fcntl(pipe, 1031, 4096)  # F_SETPIPE_SZ: holds 512 frames
            os.set_blocking(pipe.fileno(), True)
            due, latest = 0.0, time.perf_counter() + 30
            while sum(map(len, parts)) < most * rate * 8:
                part = pipe.read(rate // 100 * 8)
                if not part:
                    if process.poll() is not None:
                        break
                    assert time.perf_counter() < latest
                    time.sleep(0.001)  # nobody has opened it, yet or again
                    continue
                parts.append(part)
                due = max(due, time.perf_counter()) + len(part) / (rate * 8)
                time.sleep(max(0.0, due - time.perf_counter()))
        frames = np.frombuffer(b"".join(parts), dtype=np.float32).reshape(-1, 2)
        assert (frames[:, 0] == frames[:, 1]).all()
        return trimmed(frames[:, 0])


@pytest.fixture
def card(config: Path) -> Card:
    return Card(config)


def test_real_samples(card: Card, config: Path) -> None:
    code = """
with Player(16000) as out:
    for i in range(0, 24000, 777):
        out.write(tone[i : min(i + 777, 24000)])
    out.drain()
    print(out.position, out.waits)
"""
    process = start(config, code)
    found = card.listen(process, RATE)
    printed, errors = process.communicate(timeout=20)
    assert printed == "1.5 0\n", errors
    np.testing.assert_array_equal(found, trimmed(TONE_3[:24_000]))


def test_real_stop_pause_and_volume(card: Card, config: Path) -> None:
    code = """
with Player(16000) as out:
    for change in (out.pause, out.resume, lambda: setattr(out, "volume", 0.2), out.stop):
        out.write(tone[:16000])
        time.sleep(0.3)
        change()
    time.sleep(0.3)
    out.write(tone[:8000])
"""
    process = start(config, code)
    found = card.listen(process, RATE)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert steepest(found) < FADED  # no click in any of it
    assert np.abs(found).min() == 0
    np.testing.assert_allclose(found[-7_900:], 0.2 * TONE_3[100:8_000], atol=1e-6)


def test_real_resampling_and_rate(card: Card, config: Path) -> None:
    code = """
import sounddevice
def refuse(**settings):
    if settings["samplerate"] != 44100:
        raise sounddevice.PortAudioError("Invalid sample rate")
sounddevice.check_output_settings = refuse
with Player(16000, rate=1.5) as out:
    out.write(tone[:36000])
"""
    process = start(config, code)
    found = card.listen(process, 44_100)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert len(found) / 44_100 == pytest.approx(1.5, rel=0.02)
    assert steepest(found[200:-200]) < 1.1 * STEP * RATE / 44_100
    crossings = np.flatnonzero(np.diff(np.signbit(found[500:-500]).astype(int)) > 0)
    assert 44_100 / np.diff(crossings).mean() == pytest.approx(200, rel=0.01)


def test_real_ctrl_c(card: Card, config: Path) -> None:
    code = """
import _thread, threading
threading.Timer(0.5, _thread.interrupt_main).start()
play(tone, 16000)
"""
    process = start(config, code)
    found = card.listen(process, RATE)
    _, errors = process.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert 0.1 * RATE < len(found) < 1.5 * RATE
    assert steepest(found) < FADED


def test_real_device_that_goes_away(card: Card, config: Path) -> None:
    code = """
with Player(16000) as out:
    out.write(tone[:40000])
    out.drain()
    print(out.position)
"""
    process = start(config, code)
    card.listen(process, RATE, most=1.0)
    time.sleep(0.3)  # nobody reads, so that writing to the pipe fails
    again = card.listen(process, RATE)
    printed, errors = process.communicate(timeout=20)
    assert printed == "2.5\n", errors
    assert "pcm_file" in errors  # ALSA's complaint
    assert len(again) > 22_000
    np.testing.assert_array_equal(again[BLOCK:], trimmed(TONE_3[:40_000])[BLOCK - len(again) :])
