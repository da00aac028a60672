"""Saved voices by name: the presets that ship in this folder, and the user's own.

A name → a Voice. The user's voices are .npz files in `paths.voices()`; one of them hides a preset
of the same name. A voice is called by its file's name, so names are safe as such on every system.

The default voice of a model is the one chosen with `choose_default`, if it belongs to the model's
codec; else the first preset of that codec. A user's voice with a preset's name changes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import unicodedata
from pathlib import Path

from spark_mlx import paths
from spark_mlx.errors import VoiceError
from spark_mlx.voice import Voice

_PRESETS = Path(__file__).parent
# Names with these would be taken for files: saved voices, and recordings to clone on the spot.
_FILE_ENDINGS = frozenset(
    ".npz .wav .flac .mp3 .ogg .aif .aiff .au .caf .m4a .opus .w64 .webm .aac".split()
)
_LONGEST_NAME = 200  # bytes of UTF-8; file names end at 255
# Windows takes these for devices, whatever follows after a dot.
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{p}{n}" for p in ("com", "lpt") for n in range(10)}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A named voice: its file, and whether it is a preset."""

    name: str
    path: Path
    preset: bool


def listing() -> list[Entry]:
    """All named voices, sorted by name. The files are not opened."""
    found = {
        name: Entry(name, path, preset)
        for folder, preset in ((_PRESETS, True), (paths.voices(), False))
        for path in _files(folder)
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


def default(codec: str) -> Voice | None:
    """The default voice for a codec, by its fingerprint; None if it has neither choice nor preset.

    Raises:
        VoiceError: the voice that was chosen is gone or damaged.
    """
    if (name := default_name()) is not None:
        try:
            chosen = Voice.load(_entry(name).path)
        except VoiceError as error:
            raise VoiceError(
                f"the default voice cannot be used: {error}; choose another with: "
                "spark-mlx voice default"
            ) from error
        if chosen.codec == codec:
            return chosen
    return preset(codec)


def preset(codec: str) -> Voice | None:
    """The first preset that belongs to a codec, by its fingerprint; None without any."""
    for path in sorted(_PRESETS.glob("*.npz")):
        with contextlib.suppress(VoiceError):  # a damaged one does not hide the others
            if (voice := Voice.load(path)).codec == codec:
                return voice
    return None


def default_name() -> str | None:
    """The name that was chosen as the default voice; None if none was."""
    try:
        name = _default_file().read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return name or None


def choose_default(name: str | None) -> None:
    """Choose the default voice; None goes back to the presets.

    Raises:
        VoiceError: there is no such voice, it is damaged, or the choice cannot be written.
    """
    try:
        if name is None:
            _default_file().unlink(missing_ok=True)
            return
        entry = _entry(name)
        Voice.load(entry.path)
        paths.make_private(_default_file().parent)
        paths.write_whole(_default_file(), f"{entry.name}\n".encode(), private=True)
    except OSError as error:
        raise VoiceError(f"cannot write {_default_file()}: {error.strerror or error}") from error


def save(voice: Voice, overwrite: bool = False) -> Path:
    """Save a voice under its name among the user's own, and return the file.

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
    """Give one of the user's voices another name; as the default it stays the default.

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
    if default_name() == unicodedata.normalize("NFC", old):
        choose_default(target.stem)


def remove(name: str) -> None:
    """Delete one of the user's voices; as the default it is no longer.

    Raises:
        VoiceError: there is no such voice, it is a preset, or the file cannot be deleted.
    """
    path = _own(name, "removed").path
    try:
        path.unlink()
    except OSError as error:
        raise VoiceError(f"cannot remove {path}: {error.strerror or error}") from error
    if default_name() == unicodedata.normalize("NFC", name):
        choose_default(None)


def check_name(name: str) -> None:
    """Refuse a name that a voice cannot be saved under.

    Raises:
        VoiceError: see above.
    """
    _user_path(name)


def _files(folder: Path) -> list[Path]:
    """The .npz files of a folder; none if it is missing or may not be read."""
    try:
        return [path for path in folder.iterdir() if path.suffix == ".npz"]
    except OSError:
        return []


def _default_file() -> Path:
    return paths.state() / "default-voice"


def _entry(name: str) -> Entry:
    """Find an entry by its name; the error for an unknown one suggests the nearest names."""
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
            "with a letter or digit first, no space or dot at the end, and no file's ending"
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
        and Path(name).suffix.lower() not in _FILE_ENDINGS
        and name.split(".")[0].casefold() not in _RESERVED
        and len(name.encode()) <= _LONGEST_NAME
    )
