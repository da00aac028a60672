"""Qwen2 in MLX alone, with the cut heads and batches that generation needs.

Satisfies `LanguageModel`. Weights and heads are evaluated as soon as they are made, for they
outlive the thread that first asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from spark_mlx.generation.language_model import Head
from spark_mlx.generation.sampling import Draws, Sampling, sample
from spark_mlx.model.qwen2 import KVCache, Qwen2, causal


class PlainLM:
    """
    Args:
        lm: the model, whose weights are evaluated here.
        remark: what to add to `computes_in`.

    Attributes:
        model: the same.
    """

    def __init__(self, lm: Qwen2, remark: str = "") -> None:
        self.model = lm
        self._remark = remark
        self._heads: dict[tuple[int, ...], PlainHead] = {}
        for _, parameter in tree_flatten(lm.parameters()):
            mx.eval(parameter)  # one by one, so that little more than they is in memory

    @property
    def dtype(self) -> str:
        return str(self.model.norm.weight.dtype).rpartition(".")[2]

    @property
    def computes_in(self) -> str:
        layer = self.model.layers[0].mlp.gate_proj
        bits = f"{layer.bits} bit, " if isinstance(layer, nn.QuantizedLinear) else ""
        return f"{bits}{self.dtype}{self._remark}"

    def __call__(self, ids: mx.array, cache: Sequence[KVCache] | None = None) -> mx.array:
        return self.model(ids, cache)

    def make_cache(self, start: int = 0) -> list[KVCache]:
        return self.model.make_cache(start)

    def embed(self, ids: mx.array) -> mx.array:
        return self.model.embed(ids)

    def head(self, candidates: tuple[int, ...]) -> PlainHead:
        if candidates not in self._heads:
            self._heads[candidates] = PlainHead(self.model, mx.array(candidates))
        return self._heads[candidates]

    def logits(self, x: mx.array, cache: Sequence[KVCache], head: Head) -> mx.array:
        return head(self.model.hidden(x, cache, causal(x.shape[1]))[:, -1])

    def batch(self, caches: Sequence[Sequence[KVCache]]) -> PlainBatch:
        return PlainBatch(self.model, caches)


class PlainBatch:
    """See `Batch`; the streams' caches are merged into one."""

    def __init__(self, lm: Qwen2, caches: Sequence[Sequence[KVCache]]) -> None:
        self._lm = lm
        self._cache = [KVCache.merge(layer) for layer in zip(*caches, strict=True)]
        self._starts = mx.array([cache[0].start for cache in caches])

    def logits(self, x: mx.array, head: Head) -> mx.array:
        mask = mx.arange(self._cache[0].length + 1) >= self._starts[:, None]
        return head(self._lm.hidden(x, self._cache, mask[:, None, None])[:, -1])

    def keep(self, rows: Sequence[int]) -> None:
        kept = mx.array(list(rows))
        self._starts = self._starts[kept]
        for layer in self._cache:
            layer.keep(kept)


class PlainHead:
    """See `Head`.

    Attributes:
        candidates: their ids, (N,).
    """

    def __init__(self, lm: Qwen2, candidates: mx.array) -> None:
        self.candidates = candidates
        output, embedding = lm.output, lm.embed_tokens
        self._packed: dict[str, Any] = {}
        if isinstance(output, nn.QuantizedLinear | nn.QuantizedEmbedding):
            self._weight = output.weight[candidates]
            self._packed = {
                "scales": output.scales[candidates],
                "biases": output.biases[candidates],
                "group_size": output.group_size,
                "bits": output.bits,
            }
        else:
            self._weight = output.weight[candidates]
        shared = output is embedding and not self._packed
        self._embedded = self._weight if shared else embedding(candidates)
        mx.eval(self._weight, self._packed, self._embedded)

    def __call__(self, hidden: mx.array) -> mx.array:
        if self._packed:
            return mx.quantized_matmul(hidden, self._weight, transpose=True, **self._packed)
        return hidden @ self._weight.T

    def draw(
        self, logits: mx.array, sampling: Sampling, draws: Sequence[Draws], step: int
    ) -> tuple[mx.array, mx.array]:
        drawn = sample(logits, sampling, mx.stack([draw.key(step) for draw in draws]))
        return self.candidates[drawn], self.embed(drawn)

    def embed(self, drawn: mx.array) -> mx.array:
        return self._embedded[drawn][:, None]
