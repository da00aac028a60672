"""PortAudio, through sounddevice: the output devices there are, and how one of them is found.

What goes wrong with sound on this machine is said here, with what can be done about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from spark_mlx.errors import PlaybackError

REMEDY = "write a file instead: -o speech.wav"


@dataclass(frozen=True)
class Device:
    """An output device: its name, the rate it prefers in Hz, and whether sound goes there."""

    name: str
    rate: int
    default: bool


def output() -> dict[str, Any]:
    """What PortAudio says of the default output device.

    Raises:
        PlaybackError: there is no PortAudio library or no output device.
    """
    sounddevice = load()
    try:
        device: dict[str, Any] = sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise PlaybackError(f"this machine has no output device for sound; {REMEDY}") from error
    return device


def devices() -> list[Device]:
    """The output devices, the default one marked.

    Raises:
        PlaybackError: there is no PortAudio library.
    """
    default = load().default.device[1]
    return [
        Device(entry["name"], int(entry["default_samplerate"]), index == default)
        for index, entry in _outputs().items()
    ]


def _outputs() -> dict[int, dict[str, Any]]:
    """What PortAudio says of the output devices, by index."""
    entries = enumerate(load().query_devices())
    return {index: entry for index, entry in entries if entry["max_output_channels"] > 0}


def find(device: str | int | None) -> int | None:
    """The index of an output device, from its index, its name or a part of one.

    Raises:
        PlaybackError: there is no PortAudio library or no such device.
    """
    if device is None:
        return None
    found = _outputs()
    if str(device).isdecimal() and int(device) in found:
        return int(device)
    names = {index: entry["name"] for index, entry in found.items()}
    asked = str(device).casefold()
    for index, name in names.items():
        if name.casefold() == asked:
            return index
    for index, name in names.items():
        if isinstance(device, str) and asked and asked in name.casefold():
            return index
    there = ", ".join(f"{index}: {name}" for index, name in names.items())
    remedy = f"there are {there}" if there else REMEDY
    raise PlaybackError(f"there is no output device {device!r}; {remedy}")


def restart() -> None:
    """Starts PortAudio anew: it looks for devices only then.

    This ends every stream of the process; here the only one that is known of has failed.
    """
    sounddevice = load()
    try:
        sounddevice._terminate()
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise PlaybackError(f"sound cannot be played ({error}); {REMEDY}") from error


def load() -> ModuleType:
    """The sounddevice module; imported late, since it starts PortAudio."""
    try:
        import sounddevice
    except OSError as error:  # on Linux its wheel comes without the library
        raise PlaybackError(
            f"sound cannot be played ({error}); install PortAudio (apt install libportaudio2), "
            f"or {REMEDY}"
        ) from error
    module: ModuleType = sounddevice
    return module
