"""Saved voices by name: the presets that ship in this folder, and the user's own.

A name → a Voice. The user's voices are .npz files in `paths.voices()`; one of them hides a preset
of the same name. A voice is called by its file's name, so names are safe as such on every system.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import unicodedata
from pathlib import Path

from spark_mlx import paths
from spark_mlx.errors import VoiceError
from spark_mlx.voice import Voice

_PRESETS = Path(__file__).parent
_LONGEST_NAME = 200  # bytes of UTF-8; file names end at 255
# Windows takes these for devices, whatever follows after a dot.
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{p}{n}" for p in ("com", "lpt") for n in range(10)}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A named voice: its file, and whether it came with spark-mlx."""

    name: str
    path: Path
    preset: bool


def listing() -> list[Entry]:
    """Every named voice, sorted by name. The files are not opened."""
    found = {
        name: Entry(name, path, preset)
        for folder, preset in ((_PRESETS, True), (paths.voices(), False))
        for path in folder.glob("*.npz")
        if _is_name(name := unicodedata.normalize("NFC", path.stem))
    }
    return sorted(found.values(), key=lambda entry: entry.name.casefold())


def names() -> list[str]:
    """The names that `find` knows, sorted."""
    return [entry.name for entry in listing()]


def find(name_or_path: str | os.PathLike[str]) -> Voice:
    """The voice in an .npz file, or of a name.

    What ends in .npz or has a folder in it is a path; anything else is a name.

    Raises:
        VoiceError: there is no such voice, or its file cannot be used.
    """
    path = Path(name_or_path)
    if path.suffix == ".npz" or len(path.parts) > 1:
        return Voice.load(path)
    return Voice.load(_entry(str(name_or_path)).path)


def preset(codec: str) -> Voice | None:
    """The first of the presets that belong to a codec, by its fingerprint; None without any."""
    presets = (Voice.load(entry.path) for entry in listing() if entry.preset)
    return next((voice for voice in presets if voice.codec == codec), None)


def save(voice: Voice, overwrite: bool = False) -> Path:
    """Keeps a voice under its name among the user's own, and returns the file.

    Raises:
        VoiceError: the name cannot be one, is taken (unless `overwrite`), or writing fails.
    """
    path = _user_path(voice.name)
    if path.exists() and not overwrite:
        raise VoiceError(
            f"there is a voice {voice.name!r} already; choose another name, or overwrite it"
        )
    try:
        paths.make_private(path.parent)
    except OSError as error:
        raise VoiceError(f"cannot make {path.parent}: {error.strerror or error}") from error
    voice.save(path)
    return path


def rename(old: str, new: str) -> None:
    """Gives one of the user's voices another name.

    Raises:
        VoiceError: there is no voice `old`, it is a preset, or `new` is taken or no name.
    """
    source, target = _own(old, "renamed").path, _user_path(new)
    # Where file names ignore case, Alice and alice are one file, and renaming it is fine.
    if target.exists() and not target.samefile(source):
        raise VoiceError(f"there is a voice {new!r} already; choose another name")
    renamed = dataclasses.replace(Voice.load(source), name=target.stem)
    renamed.save(source)
    try:
        source.rename(target)
    except OSError as error:
        raise VoiceError(f"cannot rename {source}: {error.strerror or error}") from error


def remove(name: str) -> None:
    """Deletes one of the user's voices.

    Raises:
        VoiceError: there is no such voice, it is a preset, or the file cannot be deleted.
    """
    path = _own(name, "removed").path
    try:
        path.unlink()
    except OSError as error:
        raise VoiceError(f"cannot remove {path}: {error.strerror or error}") from error


def _entry(name: str) -> Entry:
    """The listing's entry of that name; an unknown one is answered with the nearest names."""
    entries = {entry.name: entry for entry in listing()}
    wanted = unicodedata.normalize("NFC", name)
    if wanted in entries:
        return entries[wanted]
    near = difflib.get_close_matches(wanted, entries, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise VoiceError(
        f"there is no voice {name!r}; {hint}spark-mlx voice list shows the voices there are"
    )


def _own(name: str, what: str) -> Entry:
    """The entry of a user's voice; a preset is refused."""
    entry = _entry(name)
    if entry.preset:
        raise VoiceError(f"{name!r} is a preset that comes with spark-mlx; it cannot be {what}")
    return entry


def _user_path(name: str) -> Path:
    """The file of a user's voice.

    Raises:
        VoiceError: the name would not be safe as a file name.
    """
    composed = unicodedata.normalize("NFC", name)
    if not _is_name(composed):
        raise VoiceError(
            f"{name!r} cannot be a voice's name; use letters, digits, spaces, '-', '_' and '.', "
            "with a letter or digit first and no space or dot at the end"
        )
    return paths.voices() / f"{composed}.npz"


def _is_name(name: str) -> bool:
    """Whether a composed name is safe as a file name on every system, and is not a path."""
    # Marks are parts of letters in many scripts: in Hindi every vowel sign is one.
    allowed = all(c.isalnum() or c in " ._-" or unicodedata.category(c)[0] == "M" for c in name)
    return (
        allowed
        and name[:1].isalnum()
        and name[-1] not in " ."
        and not name.endswith(".npz")
        and name.split(".")[0].casefold() not in _RESERVED
        and len(name.encode()) <= _LONGEST_NAME
    )
