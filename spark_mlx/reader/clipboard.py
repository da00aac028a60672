"""What was copied, or is selected, through whichever program of the desktop can tell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from spark_mlx.errors import TextError

_TIMEOUT = 5.0  # seconds; the owner of a selection may hang

# The command for what was copied, and for what is selected; None where there is none.
_WAYLAND = (("wl-paste", "--no-newline"), ("wl-paste", "--no-newline", "--primary"))
_XCLIP = (
    ("xclip", "-o", "-selection", "clipboard"),
    ("xclip", "-o", "-selection", "primary"),
)
_XSEL = (("xsel", "--output", "--clipboard"), ("xsel", "--output", "--primary"))


def read(selection: bool = False) -> bytes:
    """What was copied, or with `selection` what is selected.

    Raises:
        TextError: there is nothing, no program that can tell, or no desktop.
    """
    what = "the selection" if selection else "the clipboard"
    if sys.platform == "darwin":
        if selection:
            raise TextError(
                "macOS tells no program what is selected in another one; copy it, then read "
                "--clipboard"
            )
        return _run(("pbpaste",), what)
    failure = None
    for command in _commands(selection):
        if shutil.which(command[0]) is None:
            continue
        try:
            return _run(command, what)
        except TextError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    if not _commands(selection):
        raise TextError(
            f"{what} belongs to a desktop, and there is none here; give a file, or - for stdin"
        )
    tool = "wl-clipboard" if os.environ.get("WAYLAND_DISPLAY") else "xclip"
    raise TextError(f"no program here can tell {what}; apt install {tool}, or give a file")


def _commands(selection: bool) -> list[tuple[str, ...]]:
    """What may be asked on this desktop, the best one first."""
    found: list[tuple[str, ...]] = []
    if os.environ.get("WAYLAND_DISPLAY"):
        found.append(_WAYLAND[selection])
    if os.environ.get("DISPLAY"):
        found += [_XCLIP[selection], _XSEL[selection]]
    return found


def _run(command: tuple[str, ...], what: str) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise TextError(
            f"{what} is held by a program that does not answer; copy it again"
        ) from error
    except OSError as error:
        raise TextError(f"{command[0]} does not run ({error.strerror}); give a file") from error
    if done.returncode == 0 and done.stdout.strip():
        return done.stdout
    # The programs fail when there is nothing; what they say of it differs, so it is in brackets.
    reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    detail = f" ({command[0]}: {reason[0]})" if done.returncode and reason else ""
    raise TextError(f"{what} holds no text{detail}; copy or select some, or give a file")
