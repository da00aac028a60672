"""The next id from logits: temperature, then top-k, then top-p, then one draw.

The order is that of the official code's `generate`; a filter applied before the temperature keeps
other candidates.
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from spark_mlx.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How ids are drawn.

    Attributes:
        temperature: divides the logits; 0 always takes the likeliest.
        top_k: how many of the likeliest stay; 0 keeps all.
        top_p: of those, the likeliest whose probabilities reach this sum stay; 1 keeps all.
    """

    temperature: float = 0.8
    top_k: int = 50
    top_p: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise ConfigError(f"a temperature is between 0 and 100, not {self.temperature}")
        if self.top_k < 0:
            raise ConfigError(f"top-k is a number of candidates or 0 for all, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top-p is above 0 and at most 1, not {self.top_p}")


def keep_likeliest(logits: mx.array, sampling: Sampling) -> tuple[mx.array, mx.array]:
    """What may be drawn: scaled logits, likeliest first, −inf where top-p ends, and their indices.

    Args:
        logits: (B, N).

    Returns:
        Two arrays (B, K), K = min(N, top_k).
    """
    scaled = logits.astype(mx.float32) / sampling.temperature
    count = scaled.shape[-1]
    if 0 < sampling.top_k < count:
        chosen = mx.argpartition(-scaled, sampling.top_k - 1, axis=-1)[..., : sampling.top_k]
        scaled = mx.take_along_axis(scaled, chosen, axis=-1)
        order = mx.argsort(-scaled, axis=-1)
        indices = mx.take_along_axis(chosen, order, axis=-1)
    else:
        order = indices = mx.argsort(-scaled, axis=-1)
    scaled = mx.take_along_axis(scaled, order, axis=-1)
    if sampling.top_p < 1:
        probs = mx.softmax(scaled, axis=-1)
        likelier = mx.cumsum(probs, axis=-1) - probs
        # The likeliest has nothing before it, so one candidate always stays.
        scaled = mx.where(likelier < sampling.top_p, scaled, -mx.inf)
    return scaled, indices


def sample(logits: mx.array, sampling: Sampling, keys: mx.array) -> mx.array:
    """One draw from each row: logits (B, N), a key for each (B, 2) → indices (B,).

    A row's draw depends on its own key alone, whatever the batch. Nothing is evaluated here.
    """
    if sampling.temperature == 0:
        return mx.argmax(logits, axis=-1)
    kept, indices = keep_likeliest(logits, sampling)
    # The largest of logits with Gumbel noise is a draw from their softmax.
    noise = mx.stack([mx.random.gumbel(kept.shape[1:], key=key) for key in keys])
    drawn = mx.argmax(kept + noise, axis=-1, keepdims=True)
    return mx.take_along_axis(indices, drawn, axis=-1)[:, 0]


# Draws an answer can have at most. Each has a random key of its own, made at the start.
MOST_DRAWS = 4096


class Draws:
    """What is random about the draws of one answer. It follows from the answer's key alone."""

    _TOGETHER = 64

    def __init__(self, key: mx.array) -> None:
        self._keys = mx.random.split(key, MOST_DRAWS)
        self._known: tuple[int, int] | None = None
        self._noise: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def key(self, step: int) -> mx.array:
        """The key of a draw, (2,), for `sample`."""
        return self._keys[step]

    def noise(self, step: int, count: int) -> npt.NDArray[np.float32]:
        """The Gumbel noise that `sample` draws with that key for `count` candidates, in memory.

        It is computed for some dozens of steps at once.
        """
        run, place = divmod(step, self._TOGETHER)
        if self._known != (run, count):
            keys = self._keys[run * self._TOGETHER : (run + 1) * self._TOGETHER]
            together = mx.vmap(lambda key: mx.random.gumbel((count,), key=key))
            self._noise = np.array(together(keys))
            self._known = (run, count)
        return self._noise[place]
