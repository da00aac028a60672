"""One message of the server on its way: what is said, and how."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from spark_mlx.speechd.clips import Clips
from spark_mlx.speechd.output import MessageOutput
from spark_mlx.speechd.settings import Settings
from spark_mlx.speechd.source import Source
from spark_mlx.speechd.ssml import Part

# The server counts back from a mark, so this number is its beginning of a message.
BEGINNING = "__spd_-1"


@dataclass
class Message:
    """A message.

    Attributes:
        parts: the texts with their marks.
        settings: rate, pitch and the like.
        voice: the name of a voice, or None for the source's own.
        clips: of that voice, or None where there are none.
        source: gives the source of speech.
        output: where the sound goes.
        beep: whether a tone goes before it.
        icon: a sound file for the server to play instead.
        sentence: the server's mark that was passed last.
        stop: set by the server when the rest is not wanted, now or ever.
        paused: set before `stop`, when the rest is wanted later.
    """

    parts: list[Part]
    settings: Settings
    voice: str | None
    clips: Clips | None
    source: Callable[[], Source]
    output: MessageOutput
    beep: bool = False
    icon: str | None = None
    sentence: str = BEGINNING
    stop: threading.Event = field(default_factory=threading.Event)
    paused: bool = False
