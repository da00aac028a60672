"""The two quantisers as training needs them: codes forwards, plain gradients backwards.

A quantiser's step has no gradient, so the gradient of its output is given to its input as it is
(the straight-through estimator of Bengio et al., 2013, as in van den Oord et al., "Neural Discrete
Representation Learning", 2017). Latents and codes have length one here: the runtime compares them
by angle, so a length would be information that the codes cannot carry.

The codebook has no gradient at all. It follows the running means of the latents that chose each
code (appendix A.1 of the same paper), and a code that is hardly chosen any more starts again at a
latent of the batch.
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from spark_mlx.codec.quantizers import FSQ, SemanticQuantizer

Array = npt.NDArray[np.float32]

DECAY = 0.99
# Share of its fair number of latents below which a code is dead.
DEAD = 0.03


def unit(x: mx.array) -> mx.array:
    """x (…, D) scaled to length one; the small term keeps the gradient finite at zero."""
    return x * mx.rsqrt(mx.square(x).sum(axis=-1, keepdims=True) + 1e-8)


def straight_through(
    quantizer: SemanticQuantizer, latents: mx.array
) -> tuple[mx.array, mx.array, mx.array]:
    """Latents (B, T, D) of length one → codes' vectors (B, T, D), codes (B, T), commitment loss.

    The commitment loss is the mean squared distance of a latent to its code.
    """
    codes = quantizer.encode(mx.stop_gradient(latents))
    chosen = mx.stop_gradient(quantizer.codebook(codes))
    commitment = mx.square(latents - chosen).sum(axis=-1).mean()
    return latents + mx.stop_gradient(chosen - latents), codes, commitment


def fsq_straight_through(fsq: FSQ, x: mx.array) -> mx.array:
    """x (B, N, dim) → what `fsq.decode(fsq.encode(x))` gives, with a gradient."""
    bounded = mx.tanh(fsq.project_in(x) + fsq._shift) * fsq._half - fsq._offset
    rounded = bounded + mx.stop_gradient(mx.round(bounded) - bounded)
    return fsq.project_out(rounded / fsq._middle)


@dataclasses.dataclass
class Codebook:
    """The running means behind a codebook.

    Attributes:
        counts: how many latents a batch chose each code, running mean, (K,).
        sums: the running mean of the latents' sum, (K, D).
    """

    counts: Array
    sums: Array

    @classmethod
    def from_latents(cls, latents: Array, codes: int, seed: int, rounds: int = 12) -> Codebook:
        """Sets the codes by spherical k-means on latents (N, D) of length one, N ≥ codes."""
        if len(latents) < codes:
            raise ValueError(f"{len(latents)} latents cannot fill {codes} codes; give more of them")
        rng = np.random.default_rng(seed)
        centres = latents[rng.choice(len(latents), codes, replace=False)]
        counts, sums = np.zeros(codes, np.float32), centres
        for _ in range(rounds):
            counts, sums = _tally(latents, _nearest(latents, centres), codes)
            empty = np.flatnonzero(counts == 0)
            sums[empty] = latents[rng.choice(len(latents), len(empty), replace=False)]
            counts[empty] = 1
            centres = _unit(sums)
        # As if a batch had been a typical one, so that the first updates change little.
        return cls(np.ones(codes, np.float32), centres.copy())

    @property
    def vectors(self) -> Array:
        """The codebook itself, (K, D), of length one each."""
        return _unit(self.sums)

    def update(self, latents: Array, chosen: npt.NDArray[np.int32], seed: tuple[int, ...]) -> int:
        """Takes in a batch: latents (N, D) of length one and the codes (N,) they chose.

        Returns: how many dead codes started again.
        """
        counts, sums = _tally(latents, chosen, len(self.counts))
        fair = len(latents) / len(self.counts)
        # In units of the fair number, so that the state does not depend on the batch's size.
        self.counts = DECAY * self.counts + (1 - DECAY) * counts / fair
        self.sums = DECAY * self.sums + (1 - DECAY) * sums / fair
        dead = np.flatnonzero(self.counts < DEAD)[: len(latents)]
        rng = np.random.default_rng(seed)
        self.sums[dead] = latents[rng.choice(len(latents), len(dead), replace=False)]
        self.counts[dead] = 1
        return len(dead)


def _nearest(latents: Array, centres: Array, rows: int = 8192) -> npt.NDArray[np.int32]:
    nearest = [
        np.array(mx.argmax(mx.array(latents[i : i + rows]) @ mx.array(centres).T, axis=-1))
        for i in range(0, len(latents), rows)
    ]
    return np.concatenate(nearest).astype(np.int32)


def _tally(latents: Array, chosen: npt.NDArray[np.int32], codes: int) -> tuple[Array, Array]:
    counts = np.bincount(chosen, minlength=codes).astype(np.float32)
    sums = [np.bincount(chosen, column, minlength=codes) for column in latents.T]
    return counts, np.stack(sums, axis=1).astype(np.float32)


def _unit(x: Array) -> Array:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-8)
