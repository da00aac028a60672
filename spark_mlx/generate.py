"""Prompt ids → the ids the model writes, one by one.

An answer passes through stages, each with candidates of its own, so that nothing but a pitch can
stand where a pitch belongs and nothing but speech where speech does. Knows nothing of sound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import cast

import mlx.core as mx

from spark_mlx.lm import Qwen2
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


def generate(
    lm: Qwen2, prompt: Sequence[int], stages: Sequence[Stage], sampling: Sampling, key: mx.array
) -> Iterator[int]:
    """Yields every id that is drawn, the end included; forced ids are not yielded.

    The graph of a step is submitted before the id of the step before it is read, so that the
    device never waits for Python. When the answer ends, one step too many has been started.
    """
    cache = lm.make_cache()
    keys = mx.random.split(key, sum(stage.count for stage in stages))
    unread: mx.array | None = None
    waiting = list(prompt)
    step = 0
    for stage in stages:
        waiting += stage.forced
        ids = [*stage.candidates, *(() if stage.end is None else (stage.end,))]
        candidates = mx.array(ids)
        head = lm.head(candidates)
        for i in range(stage.count):
            known = mx.array([waiting], dtype=mx.uint32)
            waiting = []
            inputs = known if unread is None else mx.concatenate([unread[:, None], known], axis=1)
            logits = head(lm.hidden(inputs, cache)[:, -1])
            if stage.end is not None and i < stage.at_least:
                logits = logits[:, :-1]
            drawn = candidates[sample(logits, sampling, keys[step])].astype(mx.uint32)
            mx.async_eval(drawn)
            step += 1
            if unread is not None:
                yield (id_ := _read(unread))
                if id_ == stage.end:
                    return
            unread = drawn
    if unread is not None:
        yield _read(unread)


def _read(drawn: mx.array) -> int:
    """Waits for one id."""
    return cast(int, drawn.item())
