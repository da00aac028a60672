"""Say texts whole: pieces → answers, in batches → checked samples, with pauses → `Speech`."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.errors import GenerationError
from spark_mlx.generation import checks
from spark_mlx.generation.checks import ATTEMPTS, Fault
from spark_mlx.generation.generate import generate_batch
from spark_mlx.generation.pauses import Joiner
from spark_mlx.generation.request import SpeechRequest, Utterance
from spark_mlx.speech import Sentence, Speech
from spark_mlx.text import Boundary, PreparedText

log = logging.getLogger(__name__)

BATCH = 8  # utterances that are written together

Progress = Callable[[int, int], None]


class Spoken(NamedTuple):
    """The samples of an utterance, and what went less than well."""

    samples: Samples
    warnings: tuple[str, ...] = ()


def say(
    request: SpeechRequest, texts: Sequence[PreparedText], progress: Progress | None = None
) -> list[Speech]:
    """Speak texts, together in batches; each sounds as it does alone.

    Args:
        progress: called with the number of pieces spoken so far and of all, after each.

    Raises:
        GenerationError: every attempt at a piece gave silence.
    """
    utterances = [
        Utterance(piece.spoken, i)
        for text in texts
        for i, piece in enumerate(text.pieces, text.first)
    ]
    count = itertools.count(1)

    def settled(spoken: Spoken) -> None:
        if not len(spoken.samples):
            raise GenerationError(
                f"the model gave {spoken.warnings[0]}; try another seed or wording"
            )
        if progress is not None:
            progress(next(count), len(utterances))

    spoken = iter(speak(request, utterances, settled))
    return [
        _joined(text, list(itertools.islice(spoken, len(text.pieces))), request.sample_rate)
        for text in texts
    ]


def _joined(text: PreparedText, spoken: Sequence[Spoken], rate: int) -> Speech:
    """Join the pieces of a text with pauses."""
    joiner = Joiner(rate)
    parts: list[Samples] = []
    sentences: list[Sentence] = []
    done = 0
    for piece, (samples, _) in zip(text.pieces, spoken, strict=True):
        silence = joiner.before(samples)
        start = done + len(silence)
        done = start + len(samples)
        sentences.append(Sentence(piece.text, piece.span, start / rate, done / rate))
        parts += [silence, samples]
        joiner.end(piece.boundary, piece.pause)
    warnings = itertools.chain(*(one.warnings for one in spoken), text.warnings)
    return Speech(np.concatenate(parts), rate, tuple(warnings), tuple(sentences))


def speak(
    request: SpeechRequest,
    utterances: Sequence[Utterance],
    settled: Callable[[Spoken], None] = lambda spoken: None,
    stop: threading.Event | None = None,
) -> list[Spoken]:
    """Speak utterances, and draw faulty answers again; one that stays too short is spoken in parts.

    Args:
        settled: called after each.
        stop: ends the work within the time of one code, with nothing for what is not settled.
    """
    spoken: dict[int, Spoken] = {}
    for attempt in range(ATTEMPTS):
        for batch in _batches(utterances, set(range(len(utterances))) - spoken.keys()):
            answers = _answer(request, [utterances[i] for i in batch], attempt, stop)
            if stop is not None and stop.is_set():
                silence = Spoken(np.zeros(0, dtype=np.float32))
                return [spoken.get(i, silence) for i in range(len(utterances))]
            for i, answer in zip(batch, answers, strict=True):
                words = utterances[i]
                samples, fault = _decode(request, words, answer)
                if fault is not None:
                    log.info("attempt %d: %s", attempt + 1, fault.warning(words.text, 1))
                    if attempt + 1 < ATTEMPTS:
                        continue
                if fault is Fault.SHORT and (parts := words.parts()):
                    spoken[i] = _join(request, speak(request, parts, stop=stop))
                else:
                    spoken[i] = Spoken(samples, (fault.warning(words.text),) if fault else ())
                settled(spoken[i])
    return [spoken[i] for i in range(len(utterances))]


def _join(request: SpeechRequest, parts: Sequence[Spoken]) -> Spoken:
    """Join the parts of an utterance."""
    joiner = Joiner(request.sample_rate)
    samples: list[Samples] = []
    for part in parts:
        samples += [joiner.before(part.samples), part.samples]
        joiner.end(Boundary.CLAUSE)
    return Spoken(np.concatenate(samples), tuple(itertools.chain(*(p.warnings for p in parts))))


def _batches(utterances: Sequence[Utterance], unspoken: set[int]) -> Iterator[list[int]]:
    """Group utterances of about the same length, so that none waits long for another."""
    by_length = sorted(unspoken, key=lambda i: (len(utterances[i].text), i))
    for start in range(0, len(by_length), BATCH):
        yield by_length[start : start + BATCH]


def _answer(
    request: SpeechRequest, batch: Sequence[Utterance], attempt: int, stop: threading.Event | None
) -> list[list[int]]:
    """Write the ids of the answers to a batch of utterances."""
    stages = [request.stage(words) for words in batch]
    prompts = [request.prompt(words) for words in batch]
    keys = [request.key(words, attempt) for words in batch]
    answers: list[list[int]] = [[] for _ in batch]
    with request.computing:
        request.computing.clear_cache()  # of the buffers that the pieces before have left
        for stream, id_ in generate_batch(request.lm, prompts, stages, request.sampling, keys):
            if stop is not None and stop.is_set():
                break
            answers[stream].append(id_)
    return answers


def _decode(
    request: SpeechRequest, words: Utterance, answer: list[int]
) -> tuple[Samples, Fault | None]:
    """Decode the ids of an answer to samples and their fault."""
    ended = answer[-1] == request.vocabulary.end
    tokens = request.vocabulary.semantic.codes(answer[:-1] if ended else answer)
    samples = request.codec.decode(request.voice.global_tokens, tokens)
    return checks.examine(samples, request.sample_rate, ended, checks.min_seconds(words.text))
