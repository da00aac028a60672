"""A command's text → the message that is spoken, by the settings of now."""

from __future__ import annotations

import hashlib
from pathlib import Path

from spark_mlx import paths
from spark_mlx.speechd import names
from spark_mlx.speechd.clips import Clips
from spark_mlx.speechd.listing import MADE_UP, Listed, Listing
from spark_mlx.speechd.message import Message
from spark_mlx.speechd.output import DeviceOutput, MessageOutput, OwnDevice, ServerOutput
from spark_mlx.speechd.protocol import Wire
from spark_mlx.speechd.settings import Options, Settings
from spark_mlx.speechd.source import Sources
from spark_mlx.speechd.ssml import Mark, Part, parse

# What the server's punctuation modes name, when it leaves that to us.
_SOME = set("#$%&*+/<=>@\\^_|~€£¥°•")
_MOST = _SOME | set('"()-:;[]{}`“”–—…《》（）')


class MessageBuilder:
    """Makes messages.

    Args:
        listing: the voices there are.

    Attributes:
        settings: what the server has set last.
        device: where we play; None while the server does.
    """

    def __init__(self, wire: Wire, options: Options, sources: Sources, listing: Listing) -> None:
        self.settings = Settings()
        self.device: OwnDevice | None = None
        self._wire = wire
        self._options = options
        self._sources = sources
        self._listing = listing
        self._clips: dict[str, Clips] = {}

    def spoken(self, text: str) -> Message:
        """SSML, or what is taken for it."""
        parts = parse(text)
        if self.settings.punctuation_mode != "none":
            parts = [self._punctuated(part) for part in parts]
        return self._message(parts)

    def character(self, text: str) -> Message:
        """One character, by its name."""
        char = " " if text == "space" else text
        settings = self.settings
        spell = settings.cap_let_recogn == "spell"
        name = names.character(char, settings.speech_language, spell)
        message = self._message([Part(name)])
        message.beep = settings.cap_let_recogn == "icon" and len(char) == 1 and char.isupper()
        return message

    def key(self, text: str) -> Message:
        """A key, by its name."""
        settings = self.settings
        spell = settings.cap_let_recogn == "spell"
        return self._message([Part(names.key(text, settings.speech_language, spell))])

    def icon(self, text: str) -> Message:
        """A sound that the server has, or else its name."""
        if self.device is None:
            # A name must not lead out of the folder of icons.
            found = [self._options.icons / f"{Path(text).name}{end}" for end in ("", ".wav")]
            for path in found:
                if path.is_file():
                    message = self._message([])
                    message.icon = str(path)
                    return message
        return self._message([Part(text.replace("-", " ").replace("_", " "))])

    def clips_wanted(self) -> tuple[Clips, str | None, str] | None:
        """The clips, the voice and the language of names that are set now."""
        listed = self._listing.chosen(self.settings, self._options)
        clips = self._clips_of(listed)
        if clips is None:
            return None
        return clips, None if listed is None else listed.name, self.settings.speech_language

    def _message(self, parts: list[Part]) -> Message:
        listed = self._listing.chosen(self.settings, self._options)
        voice = None if listed is None else listed.name
        output: MessageOutput
        if self.device is None:
            output = ServerOutput(self._wire)
        else:
            output = DeviceOutput(self._wire, self.device)
        clips = self._clips_of(listed)
        return Message(parts, self.settings, voice, clips, self._sources.current, output)

    def _punctuated(self, part: Part) -> Part:
        """A text in which the signs that the server wants to hear are written out."""
        mode = self.settings.punctuation_mode
        out = ""
        marks: list[Mark] = []
        waiting = list(part.marks)
        for i, char in enumerate(part.text):
            while waiting and waiting[0].position <= i:
                marks.append(Mark(waiting.pop(0).name, len(out)))
            sign = not char.isalnum() and not char.isspace()
            if sign and (mode == "all" or char in (_SOME if mode == "some" else _MOST)):
                out += f" {names.character(char, self.settings.speech_language)} "
            else:
                out += char
        marks += [Mark(mark.name, len(out)) for mark in waiting]
        return Part(out, marks, part.pause, part.spelled)

    def _clips_of(self, listed: Listed | None) -> Clips | None:
        """The clips of a voice; None while it is not known which model speaks."""
        identity = self._sources.identity
        if identity is None or not self._options.clips:
            return None
        name = MADE_UP if listed is None else listed.digest
        key = hashlib.sha256(f"{identity} {name}".encode()).hexdigest()[:24]
        if key not in self._clips:
            self._clips[key] = Clips(paths.home() / "clips" / key)
        return self._clips[key]
