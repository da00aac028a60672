"""The system's default output device, followed on macOS: () → whether it has changed.

PortAudio opens the device that is the default one, and stays there. On Linux that is a sound
server, which follows headphones by itself; on macOS it is a device, so Core Audio is asked.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import time
from collections.abc import Callable

LOOK = 1.0  # seconds between two looks


class _PropertyAddress(ctypes.Structure):
    _fields_ = (
        ("selector", ctypes.c_uint32),
        ("scope", ctypes.c_uint32),
        ("element", ctypes.c_uint32),
    )


_SYSTEM_OBJECT = 1
_DEFAULT_OUTPUT, _GLOBAL = (int.from_bytes(code, "big") for code in (b"dOut", b"glob"))


@functools.cache
def _core_audio() -> ctypes.CDLL:
    return ctypes.CDLL("/System/Library/Frameworks/CoreAudio.framework/CoreAudio")


def current() -> int | None:
    """Core Audio's number of the default output device; None on other systems."""
    if sys.platform != "darwin":
        return None
    address = _PropertyAddress(_DEFAULT_OUTPUT, _GLOBAL, 0)
    device, size = ctypes.c_uint32(), ctypes.c_uint32(4)
    status = _core_audio().AudioObjectGetPropertyData(
        _SYSTEM_OBJECT,
        ctypes.byref(address),
        0,
        None,
        ctypes.byref(size),
        ctypes.byref(device),
    )
    return int(device.value) if status == 0 else None


class DefaultDevice:
    """Notice another default output device.

    Args:
        find: gives its number, or None where it need not be followed.
    """

    def __init__(self, find: Callable[[], int | None] = lambda: current()) -> None:
        self._find = find
        self._known = find()
        self._looked = time.monotonic()

    def changed(self) -> bool:
        """Whether it is another one than at the last change. May be asked often."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return False
        self._looked = now
        known, self._known = self._known, self._find()
        return self._known not in (None, known)
