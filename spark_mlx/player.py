"""Plays sound through sounddevice and PortAudio, and waits until it has ended.

samples (N,) → the default output device.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import soxr

from spark_mlx.audio import Samples
from spark_mlx.errors import PlaybackError


@dataclass(frozen=True)
class Device:
    """An output device: its name, the rate it prefers in Hz, and whether sound goes there."""

    name: str
    rate: int
    default: bool


def play(samples: Samples, rate: int) -> None:
    """Plays (N,) at `rate` Hz and returns when the sound has ended. Ctrl-C stops it at once.

    A device that refuses the rate gets the sound resampled to the rate it prefers.

    Raises:
        PlaybackError: there is no PortAudio library, no output device, or the device fails.
    """
    if not len(samples):
        return
    device = output()
    sounddevice = _sounddevice()
    try:
        sounddevice.check_output_settings(channels=1, samplerate=rate)
    except sounddevice.PortAudioError:
        # Any other complaint than the rate comes up again below, with its reason.
        preferred = int(device["default_samplerate"])
        samples = soxr.resample(samples, rate, preferred)
        rate = preferred
    block = max(1, rate // 20)  # 50 ms: how long a write can hold back Ctrl-C
    try:
        with sounddevice.OutputStream(samplerate=rate, channels=1, dtype="float32") as stream:
            try:
                for start in range(0, len(samples), block):
                    stream.write(np.ascontiguousarray(samples[start : start + block]))
            except BaseException:
                stream.abort()  # drops what the device still holds; leaving would play it out
                raise
    except sounddevice.PortAudioError as error:
        raise PlaybackError(
            f"{device['name']} does not play ({error}); write a file instead: -o speech.wav"
        ) from error


def output() -> dict[str, Any]:
    """What PortAudio says of the default output device.

    Raises:
        PlaybackError: there is no PortAudio library or no output device.
    """
    sounddevice = _sounddevice()
    try:
        device: dict[str, Any] = sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise PlaybackError(
            "this machine has no output device for sound; write a file instead: -o speech.wav"
        ) from error
    return device


def devices() -> list[Device]:
    """The output devices, the default one marked.

    Raises:
        PlaybackError: there is no PortAudio library.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[1]
    return [
        Device(entry["name"], int(entry["default_samplerate"]), index == default)
        for index, entry in enumerate(sounddevice.query_devices())
        if entry["max_output_channels"] > 0
    ]


def _sounddevice() -> ModuleType:
    """The sounddevice module; imported late, since it starts PortAudio."""
    try:
        import sounddevice
    except OSError as error:  # on Linux its wheel comes without the library
        raise PlaybackError(
            f"sound cannot be played ({error}); install PortAudio (apt install libportaudio2), "
            "or write a file instead: -o speech.wav"
        ) from error
    module: ModuleType = sounddevice
    return module
