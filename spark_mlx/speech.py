"""What `SparkTTS.say` returns: samples with their rate, ready to be saved or played."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from spark_mlx.audio import files
from spark_mlx.errors import AudioError
from spark_mlx.text import Piece, Span


class Sentence(NamedTuple):
    """What was spoken in one go: a sentence, a few very short ones, or a part of a long one.

    Attributes:
        text: in the words of the text that was given.
        span: their first character in that text, and the one after their last.
        start, end: seconds from the beginning of the speech.
    """

    text: str
    span: Span
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Speech:
    """Spoken text.

    Attributes:
        samples: float32 (N,), full scale -1 … 1.
        sample_rate: in Hz.
        warnings: what went less than well and can be heard, a sentence each.
        sentences: what was spoken when, in order; the pauses between them are left out.
    """

    samples: files.Samples
    sample_rate: int
    warnings: tuple[str, ...] = ()
    sentences: tuple[Sentence, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def at_rate(self, rate: float) -> Speech:
        """The same speech, 0.5 to 3 times as fast, at its own pitch.

        Raises:
            AudioError: the rate is another.
        """
        if rate == 1:
            return self
        from spark_mlx.audio.time_stretch import (  # not needed at its own speed
            FASTEST,
            SLOWEST,
            Stretch,
        )

        if not SLOWEST <= rate <= FASTEST:
            raise AudioError(f"speech has a rate of {SLOWEST:g} to {FASTEST:g}, not {rate:g}")
        samples = Stretch(self.sample_rate).process(self.samples, rate, last=True)
        sentences = tuple(
            one._replace(start=one.start / rate, end=one.end / rate) for one in self.sentences
        )
        return replace(self, samples=samples, sentences=sentences)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a wav, flac, mp3 or ogg file, by the ending of `path`.

        Raises:
            AudioError: the ending is unknown, or the file cannot be written.
        """
        files.write(path, self.samples, self.sample_rate)

    def play(self) -> None:
        """Plays through the default output device and returns when the sound has ended.

        Raises:
            PlaybackError: there is no PortAudio library or no output device.
        """
        from spark_mlx.audio import player  # not needed to save a file

        player.play(self.samples, self.sample_rate)


@dataclass(frozen=True, eq=False)
class Chunk:
    """A stretch of streamed speech.

    Attributes:
        samples: float32 (N,); of a chunk that only brings a warning, none.
        sample_rate: Hz.
        start: seconds of speech before it.
        piece: which piece of the text it belongs to, from 0. A piece is a sentence, a few very
            short ones, or a part of a long one.
        sentence: which sentence that is, from 0; the parts of a long one share it.
        text: the piece in the words of the text that was given.
        span: their first character in that text, and the one after their last.
        spoken: the words for the model, with numbers and the like written out.
        pause: whether this is the silence after the piece.
        warning: what went less than well in the piece and can be heard, or ""; in its last chunk.
    """

    samples: files.Samples
    sample_rate: int
    start: float
    piece: int
    sentence: int
    text: str
    span: Span
    spoken: str
    pause: bool = False
    warning: str = ""

    @classmethod
    def of(
        cls,
        piece: Piece,
        samples: files.Samples,
        sample_rate: int,
        start: float,
        number: int,
        *,
        pause: bool = False,
        warning: str = "",
    ) -> Chunk:
        """Make a chunk of the piece `number` of a text."""
        place = (piece.sentence, piece.text, piece.span, piece.spoken)
        return cls(samples, sample_rate, start, number, *place, pause=pause, warning=warning)

    @property
    def end(self) -> float:
        """Seconds of speech up to its end."""
        return self.start + len(self.samples) / self.sample_rate


def sentences(chunks: Iterable[Chunk]) -> tuple[Sentence, ...]:
    """The sentences of chunks from `SparkTTS.stream`, with their times, as `Speech` has them.

    A piece of which there are no samples is left out.
    """
    found: dict[int, Sentence] = {}
    for chunk in chunks:
        note(found, chunk)
    return tuple(found.values())


def note(found: dict[int, Sentence], chunk: Chunk) -> None:
    """Adds a chunk to the sentences found so far, by their pieces; for who keeps no chunks."""
    if not chunk.pause and len(chunk.samples):
        start = found[chunk.piece].start if chunk.piece in found else chunk.start
        found[chunk.piece] = Sentence(chunk.text, chunk.span, start, chunk.end)
