"""A message → its sound, its marks and its end, in a thread of its own.

One message at a time: the server sends the next one when it was told of the end of this one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

import numpy as np

from spark_mlx.errors import DaemonError, SparkError, TextError
from spark_mlx.speechd import names, shaping
from spark_mlx.speechd.clips import LONGEST_NAME, Clip
from spark_mlx.speechd.marks import Due, Pace
from spark_mlx.speechd.message import Message
from spark_mlx.speechd.output import CHUNK
from spark_mlx.speechd.protocol import Wire
from spark_mlx.speechd.settings import Settings
from spark_mlx.speechd.source import Sound, Speech
from spark_mlx.speechd.ssml import Mark, Part

log = logging.getLogger(__name__)

# The server's own marks stand between sentences; after a pause it goes on from the last of them.
SERVER_MARK = "__spd_"
# Of tones and silence, Hz.
_RATE = 16_000


class _Stopped(Exception):
    """The rest is not wanted now."""


class MessageSpeaker:
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
        self._speech: Speech | None = None
        threading.Thread(target=self._run, name="spark-mlx speaker", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether a message is being spoken."""
        with self._changed:
            return self._message is not None

    def start(self, message: Message) -> None:
        """Begin with a message; there is no other one."""
        with self._changed:
            self._message = message
            self._changed.notify_all()

    def stop(self, pause: bool = False) -> None:
        """Break off the message, if there is one; with `pause` it is to be taken up again."""
        with self._changed:
            if self._message is None or self._message.stop.is_set():
                return
            self._message.paused = pause
            self._message.stop.set()
            speech = self._speech
        if speech is not None:
            speech.close()

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
        """Speak a message; return the event that ends it."""
        try:
            if message.icon is not None:
                message.output.finish(message.stop)
                self._wire.icon(message.icon)
            if message.beep:
                message.output.play(shaping.tone(_RATE), _RATE, message.stop)
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
        """End a message that went wrong: it must end, or the server waits for ever."""
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
            pause = shaping.silence(_RATE, part.pause / message.settings.speed)
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
        """Speak a text that is no clip; a short one is a clip from then on."""
        heard: list[Sound] = []
        try:
            shaper = self._streamed(message, text, 0, due, heard)
        except DaemonError as error:
            # The daemon has died: the next source begins with the sentence that it was at.
            log.warning("%s", error)
            begun, heard = heard[-1].span[0] if heard else 0, []
            shaper = self._streamed(message, text, begun, due, heard)
            short = short if begun == 0 else None
        if shaper is not None:
            rest = shaper.process(shaping.silence(shaper.rate, 0), last=True)
            message.output.play(rest, shaper.rate, message.stop)
        if short and heard and message.clips is not None:
            message.clips.put(short, joined(heard), keep=False)

    def _streamed(
        self, message: Message, text: str, start: int, due: Due, heard: list[Sound]
    ) -> shaping.Shaper | None:
        """Speak a text from a character on; the returned shaper holds the last of it."""
        shaper: shaping.Shaper | None = None
        try:
            speech = message.source().speak(text[start:], message.voice)
        except TextError as error:  # nothing to say, as in "?!"
            log.info("%s", error)
            return None
        with self._changed:
            self._speech = speech
        try:
            self._check(message)  # a stop before the lines above has not closed this speech
            for piece in speech:
                shaper = shaper or _shaper(message.settings, piece.rate)
                piece = piece._replace(span=(piece.span[0] + start, piece.span[1] + start))
                # Of a long text only the last sound is needed again.
                heard[:] = [*heard, piece] if len(text) <= LONGEST_NAME else [piece]
                self._sound(message, due, piece, shaper)
            self._check(message)
        finally:
            speech.close()
            with self._changed:
                self._speech = None
        return shaper

    def _sound(
        self, message: Message, due: Due, piece: Sound, shaper: shaping.Shaper | None
    ) -> None:
        """A part of a sentence, with the marks that are due before and in it."""
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
    """The sounds of one text as a clip."""
    return Clip(np.concatenate([one.samples for one in sounds]), sounds[0].rate)


def _shaper(settings: Settings, rate: int) -> shaping.Shaper:
    return shaping.Shaper(rate, settings.speed, settings.pitch_ratio, settings.gain)
