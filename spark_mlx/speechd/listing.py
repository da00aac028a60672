"""The voices that a screen reader can choose from, and which one it has chosen.

a model's folder → names; the server's settings → a name, or None for the voice that is made up
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_mlx import voices
from spark_mlx.errors import VoiceError
from spark_mlx.speechd.settings import Options, Settings
from spark_mlx.voice import Voice

# What the made-up voice is called: the one that `spark-mlx say` speaks with when none is chosen.
MADE_UP = "default"
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Listed:
    """A voice: its name, its gender where that is known, and a digest of its file."""

    name: str
    gender: str | None
    digest: str


class Listing:
    """The voices that fit a model; reads a file again only when it has changed.

    Args:
        folder: the model's; None when it is not known yet, and then every voice is listed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._read: dict[tuple[Path, int], tuple[Listed, str]] = {}

    @property
    def codec(self) -> str | None:
        """The fingerprint of the codec whose voices fit."""
        found = fingerprints(self.folder).get("codec")
        return None if found is None else str(found)

    def voices(self) -> list[Listed]:
        """The voices with names, sorted; the made-up one is not among them."""
        codec = self.codec
        found = []
        for entry in voices.listing():
            with contextlib.suppress(OSError, VoiceError):
                key = entry.path, entry.path.stat().st_mtime_ns
                if key not in self._read:
                    voice = Voice.load(entry.path)
                    gender = None if voice.attributes is None else voice.attributes.gender
                    digest = hashlib.sha256(entry.path.read_bytes()).hexdigest()
                    self._read[key] = Listed(entry.name, gender, digest), voice.codec
                listed, of_codec = self._read[key]
                if codec is None or of_codec == codec:
                    found.append(listed)
        return found

    def lines(self, language: str | None = None) -> list[str]:
        """What LIST VOICES answers: names, languages and variants, with tabs between them."""
        wanted = None if language is None else language.lower().replace("_", "-").split("-")[0]
        names = [listed.name for listed in self.voices()]
        if MADE_UP not in names:
            names.insert(0, MADE_UP)
        return [
            f"{name}\t{spoken}\tnone"
            for name in names
            for spoken in LANGUAGES
            if wanted in (None, spoken)
        ]

    def chosen(self, settings: Settings, options: Options) -> Listed | None:
        """The voice a message is spoken in; None for the made-up one."""
        listed = self.voices()
        if settings.synthesis_voice is not None:
            if found := _named(listed, settings.synthesis_voice):
                return found
            if settings.synthesis_voice.casefold() == MADE_UP:
                return None
        if settings.voice in options.voice_types and (
            found := _named(listed, options.voice_types[settings.voice])
        ):
            return found
        # male1 is what the server sends when nobody has asked for anything.
        if settings.voice != "male1":
            gender, number = settings.voice[:-1], settings.voice[-1]
            fitting = [one for one in listed if one.gender == gender]
            if number.isdecimal() and len(fitting) >= int(number):
                return fitting[int(number) - 1]
        return _named(listed, options.voice) if options.voice else None


def fingerprints(folder: Path | None) -> dict[str, object]:
    """What tells a model from others; empty if that cannot be read. Imports nothing of MLX."""
    if folder is None:
        return {}
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {**config["fingerprint"], "kept as": [config["dtype"], config["quantize"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _named(listed: Sequence[Listed], name: str) -> Listed | None:
    """The voice of a name; the server may have changed its case."""
    exact = (one for one in listed if one.name == name)
    folded = (one for one in listed if one.name.casefold() == name.casefold())
    return next(exact, None) or next(folded, None)
