"""Say a text whole: pieces → answers, in batches → checked samples, with pauses → `Speech`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.errors import GenerationError
from spark_mlx.generation import checks
from spark_mlx.generation.checks import RETRIES, Fault
from spark_mlx.generation.generate import generate_batch
from spark_mlx.generation.pauses import Joiner
from spark_mlx.generation.request import SpeechRequest
from spark_mlx.speech import Sentence, Speech
from spark_mlx.text import Piece

log = logging.getLogger(__name__)

BATCH = 8  # pieces of a text that are written together

Progress = Callable[[int, int], None]


def say(request: SpeechRequest, pieces: Sequence[Piece], progress: Progress | None) -> Speech:
    """Speak the pieces of a text.

    Args:
        progress: called with the number of pieces spoken so far and of all, after each.

    Raises:
        GenerationError: every attempt at a piece gave silence.
    """
    rate = request.sample_rate
    joiner = Joiner(rate)
    parts: list[Samples] = []
    sentences: list[Sentence] = []
    spoken, warnings = _speak(request, [piece.spoken for piece in pieces], progress)
    done = 0
    for piece, samples in zip(pieces, spoken, strict=True):
        silence = joiner.before(samples)
        start = done + len(silence)
        done = start + len(samples)
        sentences.append(Sentence(piece.text, piece.span, start / rate, done / rate))
        parts += [silence, samples]
        joiner.end(piece.boundary)
    return Speech(np.concatenate(parts), rate, warnings, tuple(sentences))


def _speak(
    request: SpeechRequest, texts: Sequence[str], progress: Progress | None
) -> tuple[list[Samples], tuple[str, ...]]:
    """Return the samples of each piece, and warnings about some of them."""
    spoken: dict[int, Samples] = {}
    warnings: dict[int, str] = {}
    for attempt in range(RETRIES + 1):
        for batch in _batches(texts, set(range(len(texts))) - spoken.keys()):
            answers = _answer(request, texts, batch, attempt)
            for i, answer in zip(batch, answers, strict=True):
                samples, fault = _decode(request, answer)
                if fault is not None:
                    log.info("seed %d: %s", request.seed + attempt, fault.warning(texts[i], 1))
                    if attempt < RETRIES:
                        continue
                    warnings[i] = fault.warning(texts[i])
                    if not len(samples):
                        raise GenerationError(
                            f"the model gave {warnings[i]}; try another seed or wording"
                        )
                spoken[i] = samples
                if progress is not None:
                    progress(len(spoken), len(texts))
    in_order = range(len(texts))
    return [spoken[i] for i in in_order], tuple(warnings[i] for i in in_order if i in warnings)


def _batches(texts: Sequence[str], unspoken: set[int]) -> Iterator[list[int]]:
    """Group pieces of about the same length, so that none waits long for another."""
    by_length = sorted(unspoken, key=lambda i: (len(texts[i]), i))
    for start in range(0, len(by_length), BATCH):
        yield by_length[start : start + BATCH]


def _answer(
    request: SpeechRequest, texts: Sequence[str], batch: list[int], attempt: int
) -> list[list[int]]:
    """Write the ids of the answers to a batch of pieces."""
    stages = [request.stage(texts[i]) for i in batch]
    prompts = [request.prompt(texts[i]) for i in batch]
    keys = [request.key(i, attempt) for i in batch]
    answers: list[list[int]] = [[] for _ in batch]
    for stream, id_ in generate_batch(request.lm, prompts, stages, request.sampling, keys):
        answers[stream].append(id_)
    return answers


def _decode(request: SpeechRequest, answer: list[int]) -> tuple[Samples, Fault | None]:
    """Decode the ids of an answer to samples and their fault."""
    ended = answer[-1] == request.vocabulary.end
    tokens = request.vocabulary.semantic.codes(answer[:-1] if ended else answer)
    samples = request.codec.decode(request.voice.global_tokens, tokens)
    return checks.examine(samples, request.sample_rate, ended)
