"""Stream a text: pieces → answers, decoded while they are written → `Chunk`s.

The pieces come one after another, and samples that were given cannot be taken back: only an answer
that begins with silence is drawn again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

import mlx.core as mx
import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.generation.checks import RETRIES, Fault
from spark_mlx.generation.generate import generate
from spark_mlx.generation.pauses import Joiner, is_silent
from spark_mlx.generation.request import SpeechRequest
from spark_mlx.generation.stream_decoder import StreamDecoder
from spark_mlx.speech import Chunk
from spark_mlx.text import Piece

log = logging.getLogger(__name__)

# Seconds of silence before the first sound of a piece; after more it is drawn again.
LONGEST_ONSET = 1.0

# Samples as they are settled, and a warning with the last.
Parts = Iterator[tuple[Samples, str]]


def stream(
    request: SpeechRequest,
    pieces: Sequence[Piece],
    look_ahead: int | None,
    stop: threading.Event,
    warning: str = "",
) -> Iterator[Chunk]:
    """Speak the pieces of a text, in chunks.

    Args:
        look_ahead: see `StreamDecoder`.
        stop: ends the chunks within the time of one code.
        warning: comes with a last chunk without samples, if there is one.
    """
    rate = request.sample_rate
    joiner = Joiner(rate)
    last = 0  # the last piece that had a sound
    done = 0
    for i, piece in enumerate(pieces):
        if stop.is_set():
            return
        for samples, fault in _attempts(request, piece.spoken, i, look_ahead, stop):
            silence = joiner.before(samples)
            if len(silence):
                yield Chunk.of(pieces[last], silence, rate, done / rate, last, pause=True)
                done += len(silence)
            yield Chunk.of(piece, samples, rate, done / rate, i, warning=fault)
            done += len(samples)
            last = i if len(samples) else last
        joiner.end(piece.boundary)
    if warning and not stop.is_set():
        nothing = np.zeros(0, dtype=np.float32)
        yield Chunk.of(pieces[-1], nothing, rate, done / rate, len(pieces) - 1, warning=warning)


def _attempts(
    request: SpeechRequest, text: str, index: int, look_ahead: int | None, stop: threading.Event
) -> Parts:
    """Speak a piece, and draw it again as long as it begins with silence."""
    for attempt in range(RETRIES + 1):
        key = request.key(index, attempt)
        answer = _answer(request, text, key, look_ahead, stop)
        longest = float("inf") if attempt == RETRIES else LONGEST_ONSET
        onset = _onset(answer, request.sample_rate, longest)
        if stop.is_set():
            return
        if onset is not None:
            yield onset
            yield from answer
            return
        log.info("seed %d: silence at the beginning of %r", request.seed + attempt, text)
    yield np.zeros(0, dtype=np.float32), Fault.SILENCE.warning(text)


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
    text: str,
    key: mx.array,
    look_ahead: int | None,
    stop: threading.Event,
) -> Parts:
    """Write one answer and decode it meanwhile."""
    decoder = StreamDecoder(request.codec, request.voice.global_tokens, look_ahead)
    prompt, stage = request.prompt(text), request.stage(text)
    mx.eval(key)  # another thread may not go on with what this one has only begun
    ended = False

    def write() -> Iterator[int]:
        nonlocal ended
        for id_ in generate(request.lm, prompt, [stage], request.sampling, key):
            if id_ == stage.end:
                ended = True
            if ended or stop.is_set():
                return
            yield from request.vocabulary.semantic.codes([id_])

    for samples in decoder.follow(write, ahead=request.lm.in_any_thread):
        if stop.is_set():
            return
        yield samples, ""
    if stop.is_set():
        return
    warning = "" if ended else Fault.NO_END.warning(text, 1)
    rest = decoder.finish()
    if len(rest) or warning:
        yield rest, warning
