"""Prompt ids → the ids the model writes, one by one.

An answer passes through stages, each with candidates of its own, so that nothing but a pitch can
stand where a pitch belongs and nothing but speech where speech does. Knows nothing of sound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import cast

import mlx.core as mx

from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.sampling import MOST_DRAWS, Draws, Sampling


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of an answer.

    Attributes:
        candidates: the ids that may be drawn.
        count: how many are drawn at most.
        forced: ids that are written before the first draw, without asking the model.
        end: an id that may be drawn besides the candidates and ends the whole answer.
        at_least: draws before the end may come.
    """

    candidates: range
    count: int
    forced: tuple[int, ...] = ()
    end: int | None = None
    at_least: int = 0

    @property
    def ids(self) -> tuple[int, ...]:
        """All that can be drawn; the end, if there is one, stands last."""
        return (*self.candidates, *(() if self.end is None else (self.end,)))


def generate(
    lm: LanguageModel,
    prompt: Sequence[int],
    stages: Sequence[Stage],
    sampling: Sampling,
    key: mx.array,
) -> Iterator[int]:
    """Yields every id that is drawn, the end included; forced ids are not yielded.

    The graph of a step is submitted before the id of the step before it is read, so that the
    device never waits for Python. When the answer ends, one step too many has been started.
    """
    cache = lm.make_cache()
    draws = [Draws(key)]
    unread: mx.array | None = None
    x = lm.embed(mx.array([prompt]))
    step = 0
    for stage in stages:
        if stage.forced:
            x = mx.concatenate([x, lm.embed(mx.array([stage.forced]))], axis=1)
        head = lm.head(stage.ids)
        for i in range(stage.count):
            logits = _without_end(lm.logits(x, cache, head), [stage], i)
            drawn, x = head.draw(logits, sampling, draws, step)
            mx.async_eval(drawn, x)
            step += 1
            if unread is not None:
                (id_,) = _read(unread)
                yield id_
                if id_ == stage.end:
                    return
            unread = drawn
    if unread is not None:
        yield from _read(unread)


def generate_batch(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    stages: Sequence[Stage],
    sampling: Sampling,
    keys: Sequence[mx.array],
) -> Iterator[tuple[int, int]]:
    """Writes several answers together; yields (index of the prompt, id) for every id drawn.

    Each answer is the one that `generate` gives with its prompt, stage and key, but for rounding:
    a step reads the weights once for all of them. An answer that has ended leaves the batch.

    Args:
        stages: one for each prompt, with the same candidates and end and nothing forced.
    """
    first = stages[0]
    head = lm.head(first.ids)
    draws = [Draws(key) for key in keys]
    longest = max(map(len, prompts))
    caches = []
    rows = []
    for prompt in prompts:
        caches.append(lm.make_cache(start=longest - len(prompt)))
        rows.append(lm.logits(lm.embed(mx.array([prompt])), caches[-1], head))
        mx.async_eval(rows[-1])
    batch = lm.batch(caches)
    drawn, x = head.draw(_without_end(mx.concatenate(rows), stages, 0), sampling, draws, 0)
    active = list(range(len(prompts)))
    for step in range(1, MOST_DRAWS):
        speaking = [stages[stream] for stream in active]
        logits = _without_end(batch.logits(x, head), speaking, step)
        following, x = head.draw(logits, sampling, draws, step)
        mx.async_eval(following, x)
        ids = _read(drawn)
        yield from zip(active, ids, strict=True)
        going_on = [
            row
            for row, (stream, id_) in enumerate(zip(active, ids, strict=True))
            if id_ != first.end and step < stages[stream].count
        ]
        if not going_on:
            return
        if len(going_on) < len(active):
            batch.keep(going_on)
            following, x = following[mx.array(going_on)], x[mx.array(going_on)]
            draws = [draws[row] for row in going_on]
            active = [active[row] for row in going_on]
        drawn = following


def _without_end(logits: mx.array, stages: Sequence[Stage], step: int) -> mx.array:
    """Drop the end from the logits of those rows in which it may not come yet.

    Args:
        logits: (B, N), with the end last.
        stages: one for each row.
    """
    held = [stage.end is not None and step < stage.at_least for stage in stages]
    if not any(held):
        return logits
    end = mx.where(mx.array(held)[:, None], -mx.inf, logits[:, -1:])
    return mx.concatenate([logits[:, :-1], end], axis=-1)


def _read(drawn: mx.array) -> list[int]:
    """Waits for ids."""
    return cast(list[int], drawn.tolist())
