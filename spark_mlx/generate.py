"""Prompt ids → the ids the model writes, one by one.

An answer passes through stages, each with candidates of its own, so that nothing but a pitch can
stand where a pitch belongs and nothing but speech where speech does. Knows nothing of sound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import cast

import mlx.core as mx

from spark_mlx.lm import Head, KVCache, Qwen2
from spark_mlx.sampling import Sampling, sample


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


# Draws an answer can have at most. Each has a random key of its own, made at the start.
MOST_DRAWS = 4096


def generate(
    lm: Qwen2, prompt: Sequence[int], stages: Sequence[Stage], sampling: Sampling, key: mx.array
) -> Iterator[int]:
    """Yields every id that is drawn, the end included; forced ids are not yielded.

    The graph of a step is submitted before the id of the step before it is read, so that the
    device never waits for Python. When the answer ends, one step too many has been started.
    """
    cache = lm.make_cache()
    keys = mx.random.split(key, MOST_DRAWS)
    unread: mx.array | None = None
    x = lm.embed(mx.array([prompt]))
    step = 0
    for stage in stages:
        if stage.forced:
            x = mx.concatenate([x, lm.embed(mx.array([stage.forced]))], axis=1)
        head = lm.head(stage.ids)
        for i in range(stage.count):
            hidden = lm.hidden(x, cache)[:, -1]
            drawn, x = _draw(head, hidden, stage, i, sampling, keys[step][None])
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
    lm: Qwen2,
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
    draws = mx.stack([mx.random.split(key, MOST_DRAWS) for key in keys])
    longest = max(map(len, prompts))
    starts = mx.array([longest - len(prompt) for prompt in prompts])
    caches = []
    rows = []
    for prompt in prompts:
        caches.append(lm.make_cache(start=longest - len(prompt)))
        rows.append(lm.hidden(lm.embed(mx.array([prompt])), caches[-1])[:, -1])
        mx.async_eval(rows[-1])
    cache = [KVCache.merge(layer) for layer in zip(*caches, strict=True)]
    drawn, x = _draw(head, mx.concatenate(rows), first, 0, sampling, draws[:, 0])
    active = list(range(len(prompts)))
    for step in range(1, MOST_DRAWS):
        mask = mx.arange(longest + step) >= starts[:, None]
        hidden = lm.hidden(x, cache, mask[:, None, None])[:, -1]
        following, x = _draw(head, hidden, first, step, sampling, draws[:, step])
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
            kept = mx.array(going_on)
            for layer in cache:
                layer.keep(kept)
            following, x, starts, draws = (a[kept] for a in (following, x, starts, draws))
            active = [active[row] for row in going_on]
        drawn = following


def _draw(
    head: Head, hidden: mx.array, stage: Stage, step: int, sampling: Sampling, keys: mx.array
) -> tuple[mx.array, mx.array]:
    """The next id of each stream, and the same embedded.

    Args:
        hidden: (B, hidden_size).
        keys: (B, 2).

    Returns:
        (B,) and (B, 1, hidden_size).
    """
    logits = head(hidden)
    if stage.end is not None and step < stage.at_least:
        logits = logits[:, :-1]
    drawn = sample(logits, sampling, keys)
    return head.candidates[drawn], head.embed(drawn)


def _read(drawn: mx.array) -> list[int]:
    """Waits for ids."""
    return cast(list[int], drawn.tolist())
