"""Stream a text: pieces → answers, decoded while they are written → `Chunk`s.

The pieces come one after another, and samples that were given cannot be taken back. An answer that
begins with silence has given nothing yet, and is drawn again; one with too little speech for its
words is followed by the same words in parts, since nothing tells which of them were spoken.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Generator, Iterator

import mlx.core as mx
import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.generation import checks, whole
from spark_mlx.generation.checks import ATTEMPTS, Fault
from spark_mlx.generation.generate import generate
from spark_mlx.generation.pauses import Joiner, is_silent
from spark_mlx.generation.request import SpeechRequest, Utterance
from spark_mlx.generation.stream_decoder import StreamDecoder
from spark_mlx.speech import Chunk
from spark_mlx.text import Boundary, PreparedText, expected_seconds

log = logging.getLogger(__name__)

# Seconds of silence before the first sound of a piece; after more it is drawn again.
LONGEST_ONSET = 1.0

# Pieces that should take at most so many seconds are said whole: they are soon there, and a faulty
# answer is drawn again before any of it was heard.
SAID_WHOLE = 0.6

# Samples as they are settled, and a warning with the last.
Parts = Iterator[tuple[Samples, str]]


def stream(
    request: SpeechRequest,
    text: PreparedText,
    look_ahead: int | None,
    stop: threading.Event,
) -> Iterator[Chunk]:
    """Speak a text in chunks; its own warnings come with a last chunk without samples.

    Args:
        look_ahead: see `StreamDecoder`.
        stop: ends the chunks within the time of one code.
    """
    pieces, first, rate = text.pieces, text.first, request.sample_rate
    joiner = Joiner(rate)
    last = 0  # the last piece that had a sound
    done = 0
    for i, piece in enumerate(pieces):
        if stop.is_set():
            return
        for samples, fault in _speak(request, Utterance(piece.spoken, first + i), look_ahead, stop):
            silence = joiner.before(samples)
            if len(silence):
                yield Chunk.of(pieces[last], silence, rate, done / rate, first + last, pause=True)
                done += len(silence)
            yield Chunk.of(piece, samples, rate, done / rate, first + i, warning=fault)
            done += len(samples)
            last = i if len(samples) else last
        joiner.end(piece.boundary, piece.pause)
    if text.warnings and not stop.is_set():
        nothing = np.zeros(0, dtype=np.float32)
        number = first + len(pieces) - 1
        yield Chunk.of(
            pieces[-1], nothing, rate, done / rate, number, warning="; ".join(text.warnings)
        )


def _speak(
    request: SpeechRequest, words: Utterance, look_ahead: int | None, stop: threading.Event
) -> Parts:
    """Speak an utterance: draw it again as long as it begins with silence, and say it once more
    in parts if it is too short for its words."""
    if expected_seconds(words.text) <= SAID_WHOLE:
        (spoken,) = whole.speak(request, [words], stop=stop)
        if not stop.is_set():
            yield spoken.samples, "; ".join(spoken.warnings)
        return
    for attempt in range(ATTEMPTS):
        answer = _answer(request, words, request.key(words, attempt), look_ahead, stop)
        longest = float("inf") if attempt + 1 == ATTEMPTS else LONGEST_ONSET
        onset = _onset(answer, request.sample_rate, longest)
        if stop.is_set():
            return
        if onset is not None:
            short = yield from _watched(request, words, itertools.chain([onset], answer))
            break
        log.info("attempt %d: silence at the beginning of %r", attempt + 1, words.text)
    else:
        yield np.zeros(0, dtype=np.float32), Fault.SILENCE.warning(words.text)
        return
    if not short or stop.is_set():
        return
    log.info(Fault.SHORT.warning(words.text, 1))
    parts = words.parts()
    if not parts:
        yield np.zeros(0, dtype=np.float32), Fault.SHORT.warning(words.text, 1)
    joiner = Joiner(request.sample_rate)
    joiner.before(onset[0])
    for part in parts:
        joiner.end(Boundary.CLAUSE)
        for samples, warning in _speak(request, part, look_ahead, stop):
            yield np.concatenate([joiner.before(samples), samples]), warning


def _watched(
    request: SpeechRequest, words: Utterance, answer: Parts
) -> Generator[tuple[Samples, str], None, bool]:
    """Yield an answer; return whether it is too short for its words."""
    shortest = checks.min_seconds(words.text)
    given: list[Samples] = []
    sounding = 0.0
    for samples, warning in answer:
        yield samples, warning
        if sounding < shortest:
            given.append(samples)
            sounding = checks.sounding_seconds(np.concatenate(given), request.sample_rate)
    return sounding < shortest


def _onset(answer: Parts, rate: int, longest: float) -> tuple[Samples, str] | None:
    """Take an answer up to its first sound; None if that is `longest` seconds away, or nowhere."""
    held: list[Samples] = []
    for samples, warning in answer:
        held.append(samples)
        if not is_silent(samples, rate):
            return np.concatenate(held), warning
        if sum(map(len, held)) > longest * rate:
            break
    return None


def _answer(
    request: SpeechRequest,
    words: Utterance,
    key: mx.array,
    look_ahead: int | None,
    stop: threading.Event,
) -> Parts:
    """Write one answer and decode it meanwhile."""
    decoder = StreamDecoder(request.codec, request.voice.global_tokens, look_ahead)
    prompt, stage = request.prompt(words), request.stage(words)
    ended = False

    def write() -> Iterator[int]:
        nonlocal ended
        request.computing.clear_cache()  # of the buffers that the pieces before have left
        ids = generate(request.lm, prompt, [stage], request.sampling, key)
        for id_ in request.computing.iterate(ids):
            if id_ == stage.end:
                ended = True
            if ended or stop.is_set():
                return
            yield from request.vocabulary.semantic.codes([id_])

    for samples in decoder.follow(request.prefetch(write)):
        if stop.is_set():
            return
        yield samples, ""
    if stop.is_set():
        return
    warning = "" if ended else Fault.NO_END.warning(words.text, 1)
    rest = decoder.finish()
    if len(rest) or warning:
        yield rest, warning
