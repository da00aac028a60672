"""A message → its sound, its marks and its end, in a thread of its own.

One message at a time: the server sends the next one when it was told of the end of this one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from spark_mlx.errors import DaemonError, SparkError
from spark_mlx.speechd import names, sound
from spark_mlx.speechd.clips import LONGEST_NAME, Clip, Clips
from spark_mlx.speechd.feed import Feed, Sound
from spark_mlx.speechd.marks import Due, Pace
from spark_mlx.speechd.output import CHUNK, Output
from spark_mlx.speechd.protocol import Wire
from spark_mlx.speechd.settings import Settings
from spark_mlx.speechd.source import Source
from spark_mlx.speechd.ssml import Mark, Part

log = logging.getLogger(__name__)

# The server's own marks stand between sentences; after a pause it goes on from the last of them.
SERVER_MARK = "__spd_"
# The server counts back from a mark, so this number is its beginning of a message.
_BEGINNING = "__spd_-1"
# What a message of punctuation that nobody can pronounce is given in silence, at this rate.
_RATE = 16_000


@dataclass
class Message:
    """One message on its way.

    Attributes:
        parts: what is said.
        settings: how.
        voice: the name of a voice, or None for the source's own.
        clips: of that voice, or None where there are none.
        source: gives whoever speaks.
        output: where the sound goes.
        beep: whether a tone goes before it.
        icon: a sound file for the server to play instead.
        sentence: the server's mark that was passed last.
        stop: set by the server when the rest is not wanted, now or ever.
        paused: set before, when it is wanted later.
    """

    parts: list[Part]
    settings: Settings
    voice: str | None
    clips: Clips | None
    source: Callable[[], Source]
    output: Output
    beep: bool = False
    icon: str | None = None
    sentence: str = _BEGINNING
    stop: threading.Event = field(default_factory=threading.Event)
    paused: bool = False


class _Stopped(Exception):
    """The rest is not wanted now."""


class Speaker:
    """Speaks messages.

    Args:
        wire: gets what `Output` does not send: the end of a message.
        ended: called after each message.
    """

    def __init__(self, wire: Wire, ended: Callable[[], None]) -> None:
        self._wire = wire
        self._ended = ended
        self._pace = Pace()
        self._changed = threading.Condition()
        self._message: Message | None = None
        self._feed: Feed | None = None
        threading.Thread(target=self._run, name="spark-mlx speaker", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether a message is being spoken."""
        with self._changed:
            return self._message is not None

    def start(self, message: Message) -> None:
        """Begins with a message; there is no other one."""
        with self._changed:
            self._message = message
            self._changed.notify_all()

    def stop(self, pause: bool = False) -> None:
        """Breaks off the message, if there is one; with `pause` it is to be taken up again."""
        with self._changed:
            if self._message is None or self._message.stop.is_set():
                return
            self._message.paused = pause
            self._message.stop.set()
            feed = self._feed
        if feed is not None:
            feed.stop()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._message is not None)
                message = self._message
            assert message is not None
            try:
                end = self._speak(message)
            except BrokenPipeError:  # the server is gone, and the other thread will notice
                return
            # Before the event: the server may send the next message as soon as it has read it.
            with self._changed:
                self._message = None
            self._ended()
            with contextlib.suppress(BrokenPipeError):
                end()

    def _speak(self, message: Message) -> Callable[[], None]:
        """Speaks a message; gives back the event that ends it."""
        try:
            if message.icon is not None:
                message.output.finish(message.stop)
                self._wire.icon(message.icon)
            if message.beep:
                message.output.play(sound.tone(_RATE), _RATE, message.stop)
            for part in message.parts:
                self._part(message, part)
            message.output.finish(message.stop)
        except _Stopped:
            message.output.finish(message.stop)
        except SparkError as error:  # one message must not end all others
            log.error("%s", error)
            return self._give_up(message)
        except BrokenPipeError:
            raise
        except Exception:
            log.exception("a message could not be spoken")
            return self._give_up(message)
        if message.stop.is_set() and message.paused:
            # The server holds its sound at one of its marks only, and the next one may be far or
            # never come, for which it would wait for ever. It goes on where this one is.
            message.output.halt(message.sentence)
            return self._wire.paused
        return self._wire.stopped if message.stop.is_set() else self._wire.end

    def _give_up(self, message: Message) -> Callable[[], None]:
        """Ends a message that went wrong: it must end, or the server waits for ever."""
        try:
            message.output.finish(message.stop)
        except SparkError as error:
            log.error("%s", error)
        return self._wire.stopped

    def _part(self, message: Message, part: Part) -> None:
        """One text with its marks, then the silence after it."""
        if part.spelled or message.settings.spelling_mode == "on":
            self._spell(message, part)
        else:
            self._text(message, part.text, part.marks)
        if part.pause:
            pause = sound.silence(_RATE, part.pause / message.settings.speed)
            message.output.play(pause, _RATE, message.stop)
        self._check(message)

    def _spell(self, message: Message, part: Part) -> None:
        """A text, character by character."""
        language = message.settings.speech_language
        capital = message.settings.cap_let_recogn == "spell"
        marks = list(part.marks)
        for i, char in enumerate(part.text):
            while marks and marks[0].position <= i:
                self._mark(message, marks.pop(0).name)
            if not char.isspace():
                self._text(message, names.character(char, language, capital), [])
        for mark in marks:
            self._mark(message, mark.name)

    def _text(self, message: Message, text: str, marks: list[Mark]) -> None:
        self._check(message)
        due = Due(text, marks, self._pace)
        short = text.strip() if len(text.strip()) <= LONGEST_NAME else None
        if short and message.clips is not None and (clip := message.clips.get(short)) is not None:
            self._sound(message, due, Sound(clip.samples, clip.rate, (0, len(text)), 0), None)
        elif any(c.isalnum() for c in text):
            self._stream(message, text, due, short)
        for name in due.rest():
            self._mark(message, name)

    def _stream(self, message: Message, text: str, due: Due, short: str | None) -> None:
        """Speaks a text that is no clip; a short one is a clip from then on."""
        heard: list[Sound] = []
        try:
            shaper = self._streamed(message, text, 0, due, heard)
        except DaemonError as error:
            # The daemon has died: whoever speaks now begins with the sentence that it was at.
            log.warning("%s", error)
            begun, heard = heard[-1].span[0] if heard else 0, []
            shaper = self._streamed(message, text, begun, due, heard)
            short = short if begun == 0 else None
        if shaper is not None:
            rest = shaper.process(sound.silence(shaper.rate, 0), last=True)
            message.output.play(rest, shaper.rate, message.stop)
        if short and heard and message.clips is not None:
            message.clips.put(short, joined(heard), keep=False)

    def _streamed(
        self, message: Message, text: str, start: int, due: Due, heard: list[Sound]
    ) -> sound.Shaper | None:
        """Speaks a text from a character on; what shapes its sound holds the last of it."""
        feed = Feed()
        with self._changed:
            self._feed = feed
        self._check(message)  # a stop before the line above has not stopped this feed
        message.source().speak(text[start:], message.voice, feed)
        shaper: sound.Shaper | None = None
        try:
            while (piece := feed.take()) is not None:
                shaper = shaper or _shaper(message.settings, piece.rate)
                piece = piece._replace(span=(piece.span[0] + start, piece.span[1] + start))
                # Of a long text only the last stretch is needed again.
                heard[:] = [*heard, piece] if len(text) <= LONGEST_NAME else [piece]
                self._sound(message, due, piece, shaper)
            self._check(message)
        finally:
            feed.stop()
            with self._changed:
                self._feed = None
        return shaper

    def _sound(self, message: Message, due: Due, piece: Sound, shaper: sound.Shaper | None) -> None:
        """A stretch of a sentence, with the marks that are due before and in it."""
        whole = shaper is None  # a clip
        shaper = shaper or _shaper(message.settings, piece.rate)
        step = max(1, int(piece.rate * CHUNK * max(1.0, message.settings.speed)))
        for start in range(0, len(piece.samples), step):
            for name in due.before(piece.span, piece.sentence):
                self._mark(message, name)
            samples = piece.samples[start : start + step]
            last = whole and start + step >= len(piece.samples)
            message.output.play(shaper.process(samples, last), piece.rate, message.stop)
            due.heard(len(samples) / piece.rate)
            self._check(message)

    def _mark(self, message: Message, name: str) -> None:
        self._check(message)
        message.output.mark(name)
        if name.startswith(SERVER_MARK):
            message.sentence = name

    @staticmethod
    def _check(message: Message) -> None:
        if message.stop.is_set():
            raise _Stopped


def joined(sounds: list[Sound]) -> Clip:
    """Stretches of one text as a clip."""
    return Clip(np.concatenate([one.samples for one in sounds]), sounds[0].rate)


def _shaper(settings: Settings, rate: int) -> sound.Shaper:
    return sound.Shaper(rate, settings.speed, settings.pitch_ratio, settings.gain)
