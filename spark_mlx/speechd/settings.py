"""What the server's SET chooses, and what the module's own file says.

name=value → numbers that sound can be shaped with
"""

from __future__ import annotations

import contextlib
import logging
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SLOWEST, FASTEST = 0.5, 3.0  # times the voice's own speed, at -100 and 100
# Semitones up or down at ±100. Further on a voice sounds like no person any more.
PITCH_REACH = 6.0

_CHOICES = {
    "punctuation_mode": ("none", "some", "most", "all"),
    "spelling_mode": ("on", "off"),
    "cap_let_recogn": ("none", "spell", "icon"),
}
_VOICES = ("male1", "male2", "male3", "female1", "female2", "female3", "child_male", "child_female")
_LINE = re.compile(r'\s*(\w+)\s+(?:"([^"]*)"|(\S+))\s*(?:#.*)?')


@dataclass(frozen=True)
class Settings:
    """How the next message is to be spoken; names and ranges are the protocol's."""

    rate: int = 0
    pitch: int = 0
    pitch_range: int = 0  # taken, and not followed: the model has no such handle
    volume: int = 100
    punctuation_mode: str = "none"
    spelling_mode: str = "off"
    cap_let_recogn: str = "none"
    voice: str = "male1"
    synthesis_voice: str | None = None
    language: str = "en"

    def with_value(self, name: str, value: str) -> Settings:
        """These settings with one of them changed; one that is not known changes nothing.

        Raises:
            ValueError: the value is none of that setting.
        """
        if value == "NULL":
            return replace(self, synthesis_voice=None) if name == "synthesis_voice" else self
        if name in ("rate", "pitch", "pitch_range", "volume"):
            number: dict[str, Any] = {name: max(-100, min(100, int(value)))}
            return replace(self, **number)
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(value)
        if name == "voice" and value not in _VOICES:
            raise ValueError(value)
        if name in (*_CHOICES, "voice", "synthesis_voice", "language"):
            text: dict[str, Any] = {name: value}
            return replace(self, **text)
        return self

    @property
    def speed(self) -> float:
        """Times the voice's own speed: equal steps of the rate are equal ratios."""
        base = FASTEST if self.rate > 0 else 1 / SLOWEST
        return float(base ** (self.rate / 100))

    @property
    def pitch_ratio(self) -> float:
        """Times the voice's own pitch."""
        return float(2 ** (self.pitch / 100 * PITCH_REACH / 12))

    @property
    def gain(self) -> float:
        """What samples are multiplied by: 100 is the voice's own loudness, -100 silence."""
        return (self.volume + 100) / 200

    @property
    def speech_language(self) -> str:
        """The language of names: "en" or "zh"."""
        return "zh" if self.language.lower().startswith(("zh", "cmn")) else "en"


@dataclass(frozen=True)
class Options:
    """The module's own file.

    Attributes:
        model: a model folder or hub id; None for the default model.
        voice: the voice of those who choose none; None for the one that is made up.
        voice_types: the protocol's male1 … child_female → a voice.
        daemon: whether a running daemon is asked first.
        clips: whether characters and keys are spoken beforehand.
        icons: the folder of the server's sound icons.
    """

    model: str | None = None
    voice: str | None = None
    voice_types: dict[str, str] = field(default_factory=dict)
    daemon: bool = True
    clips: bool = True
    icons: Path = Path("/usr/share/sounds/sound-icons")

    @classmethod
    def load(cls, path: str | None) -> Options:
        """Read the file. A line that cannot be read is logged: it must not silence the user."""
        options = cls()
        text = ""
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                try:
                    text = Path(path).read_text(encoding="utf-8")
                except (OSError, ValueError) as error:
                    log.warning("cannot read %s: %s", path, error)
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                try:
                    options = options._with_line(line)
                except ValueError as error:
                    log.warning("%s, line %d: %s", path, number, error)
        return options

    def _with_line(self, line: str) -> Options:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError('a line is a name and a value: Voice "alice"')
        name, value = match[1].lower(), match[2] if match[3] is None else match[3]
        if name in ("model", "voice"):
            text: dict[str, Any] = {name: value or None}
            return replace(self, **text)
        if name == "soundiconfolder":
            return replace(self, icons=Path(value))
        if name in ("daemon", "clips"):
            if value.lower() not in ("on", "off"):
                raise ValueError(f"{match[1]} is on or off, not {value}")
            switch: dict[str, Any] = {name: value.lower() == "on"}
            return replace(self, **switch)
        if name.startswith("voice") and name[5:] in (kind.replace("_", "") for kind in _VOICES):
            kind = next(kind for kind in _VOICES if kind.replace("_", "") == name[5:])
            return replace(self, voice_types={**self.voice_types, kind: value})
        raise ValueError(f"there is no {match[1]}")
