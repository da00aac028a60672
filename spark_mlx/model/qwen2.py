"""Qwen2.5, the generator of tokens: ids (B, T) → logits (B, T, vocab).

Inference with a key-value cache; attention, norms and rotary positions are MLX's fused ones.

Source: `Qwen2ForCausalLM` of transformers; "Qwen2.5 Technical Report" (2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.backends.cpu import ops
from spark_mlx.generation.sampling import Draws, Sampling, sample
from spark_mlx.model.config import Config
from spark_mlx.model.layers import RotaryPositions, SiLU, attend


@dataclasses.dataclass(frozen=True)
class LMConfig(Config):
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


class KVCache:
    """Keys and values of one layer, (B, heads, T, head_dim), in room that grows by blocks.

    Attributes:
        length: how many tokens it holds.
        start: the position of the first one. Only distances between positions matter to the
            model, so a short prompt may start late to end where a longer one ends.
    """

    BLOCK = 256

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.length = 0
        self._keys: mx.array | None = None
        self._values: mx.array | None = None

    def append(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Adds (B, heads, L, head_dim) and returns all there is so far."""
        start, self.length = self.length, self.length + keys.shape[2]
        if self._keys is None or self._values is None:
            self._keys, self._values = self._room(keys), self._room(values)
        elif self._keys.shape[2] < self.length:
            self._keys = mx.concatenate([self._keys, self._room(keys)], axis=2)
            self._values = mx.concatenate([self._values, self._room(values)], axis=2)
        self._keys[..., start : self.length, :] = keys
        self._values[..., start : self.length, :] = values
        return self._keys[..., : self.length, :], self._values[..., : self.length, :]

    @classmethod
    def merge(cls, caches: Sequence[KVCache]) -> KVCache:
        """The caches of single streams that end at the same position, as one batch.

        Where a stream starts later than position 0 there are zeros, to be masked.
        """
        merged = cls()
        merged.length = caches[0].start + caches[0].length

        def aligned(cache: KVCache, room: mx.array | None) -> mx.array:
            assert room is not None
            return mx.pad(room[..., : cache.length, :], [(0, 0), (0, 0), (cache.start, 0), (0, 0)])

        merged._keys = mx.concatenate([aligned(c, c._keys) for c in caches])
        merged._values = mx.concatenate([aligned(c, c._values) for c in caches])
        return merged

    def keep(self, rows: mx.array) -> None:
        """Drops all streams of the batch but `rows`."""
        assert self._keys is not None
        assert self._values is not None
        self._keys, self._values = self._keys[rows], self._values[rows]

    def _room(self, like: mx.array) -> mx.array:
        batch, heads, length, head_dim = like.shape
        blocks = -(-length // self.BLOCK)
        return mx.zeros((batch, heads, blocks * self.BLOCK, head_dim), like.dtype)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: LMConfig, rotate: RotaryPositions) -> None:
        super().__init__()
        dim = config.hidden_size
        self._head_dim = config.head_dim
        self._scale = self._head_dim**-0.5
        self._rotate = rotate
        kv_dim = config.num_key_value_heads * self._head_dim
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, kv_dim)
        self.v_proj = nn.Linear(dim, kv_dim)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def __call__(self, x: mx.array, cache: KVCache, mask: mx.array | None) -> mx.array:
        batch, length, dim = x.shape
        position = cache.start + cache.length

        def split_heads(y: mx.array) -> mx.array:
            return y.reshape(batch, length, -1, self._head_dim).transpose(0, 2, 1, 3)

        queries = self._rotate(split_heads(self.q_proj(x)), position)
        keys = self._rotate(split_heads(self.k_proj(x)), position)
        keys, values = cache.append(keys, split_heads(self.v_proj(x)))
        if length > 1:
            out = attend(queries, keys, values, self._scale, causal=True)
        else:
            out = mx.fast.scaled_dot_product_attention(
                queries, keys, values, scale=self._scale, mask=mask
            )
        return self.o_proj(out.transpose(0, 2, 1, 3).reshape(batch, length, dim))


class MLP(nn.Module):
    def __init__(self, dim: int, intermediate: int) -> None:
        super().__init__()
        self.act = SiLU()
        self.gate_proj = nn.Linear(dim, intermediate, bias=False)
        self.up_proj = nn.Linear(dim, intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, dim, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config: LMConfig, rotate: RotaryPositions) -> None:
        super().__init__()
        dim, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = Attention(config, rotate)
        self.mlp = MLP(dim, config.intermediate_size)
        self.input_layernorm = nn.RMSNorm(dim, eps=eps)
        self.post_attention_layernorm = nn.RMSNorm(dim, eps=eps)

    def __call__(self, x: mx.array, cache: KVCache, mask: mx.array | None) -> mx.array:
        x = x + self.self_attn(self.input_layernorm(x), cache, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Qwen2(nn.Module):
    """
    Attributes:
        in_any_thread: whether it may be used in another thread than the one that loaded it.
    """

    in_any_thread = False

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        rotate = RotaryPositions(config.head_dim, config.rope_theta)
        self.layers = [Layer(config, rotate) for _ in range(config.num_hidden_layers)]
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self._tied = config.tie_word_embeddings
        self._heads: dict[tuple[int, ...], Head] = {}

    def make_cache(self, start: int = 0) -> list[KVCache]:
        """An empty cache for `hidden` to fill: one entry a layer."""
        return [KVCache(start) for _ in self.layers]

    def embed(self, ids: mx.array) -> mx.array:
        """ids (B, T) → (B, T, hidden_size)."""
        return self.embed_tokens(ids)

    def hidden(
        self, x: mx.array, cache: Sequence[KVCache], mask: mx.array | None = None
    ) -> mx.array:
        """The last layer's normalised output for embedded ids that follow what `cache` holds.

        Args:
            x: (B, T, hidden_size).
            mask: for T = 1, which positions each stream may look at: (B, 1, 1, positions).

        Returns: (B, T, hidden_size).
        """
        for layer, layer_cache in zip(self.layers, cache, strict=True):
            x = layer(x, layer_cache, mask)
        return self.norm(x)

    def logits(self, x: mx.array, cache: Sequence[KVCache], head: Head) -> mx.array:
        """What `head` thinks follows the last token of x (1, T, hidden_size): (1, N)."""
        return head(self.hidden(x, cache)[:, -1])

    def batch(self, caches: Sequence[Sequence[KVCache]]) -> Batch:
        """Single streams whose caches end at the same position, to go on together."""
        return Batch(self, caches)

    def __call__(self, ids: mx.array, cache: Sequence[KVCache] | None = None) -> mx.array:
        """Logits over the whole vocabulary: ids (B, T) → (B, T, vocab_size)."""
        x = self.hidden(self.embed(ids), self.make_cache() if cache is None else cache)
        return self.embed_tokens.as_linear(x) if self._tied else self.lm_head(x)

    def head(self, candidates: tuple[int, ...]) -> Head:
        """The output layer cut down to the rows of `candidates`, which are kept for next time."""
        if candidates not in self._heads:
            self._heads[candidates] = Head(
                self.embed_tokens if self._tied else self.lm_head,
                self.embed_tokens,
                mx.array(candidates),
            )
        return self._heads[candidates]


class Batch:
    """Several streams, of which each step takes one token each."""

    def __init__(self, lm: Qwen2, caches: Sequence[Sequence[KVCache]]) -> None:
        self._lm = lm
        self._cache = [KVCache.merge(layer) for layer in zip(*caches, strict=True)]
        self._starts = mx.array([cache[0].start for cache in caches])

    def logits(self, x: mx.array, head: Head) -> mx.array:
        """As `Qwen2.logits`: x (B, 1, hidden_size) → (B, N)."""
        mask = mx.arange(self._cache[0].length + 1) >= self._starts[:, None]
        return head(self._lm.hidden(x, self._cache, mask[:, None, None])[:, -1])

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all streams but `rows`."""
        kept = mx.array(list(rows))
        self._starts = self._starts[kept]
        for layer in self._cache:
            layer.keep(kept)


class Head:
    """Logits of a few candidates only: hidden (B, hidden_size) → (B, N).

    Attributes:
        candidates: their ids, (N,).

    While speech is written, nothing but semantic tokens and the end can come next, so the other
    rows of the output layer, most of its weights, need not be read.
    """

    def __init__(self, layer: nn.Module, embedding: nn.Module, candidates: mx.array) -> None:
        self.candidates = candidates
        self._packed: dict[str, Any] | None = None
        if isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding) and not ops.in_use():
            self._weight = layer.weight[candidates]
            self._packed = {
                "scales": layer.scales[candidates],
                "biases": layer.biases[candidates],
                "group_size": layer.group_size,
                "bits": layer.bits,
            }
        else:  # on a CPU a packed product is slower than a plain one
            self._weight = rows_of(layer, candidates)
        if layer is embedding and self._packed is None:
            self._embedded = self._weight
        else:
            self._embedded = rows_of(embedding, candidates)

    def draw(
        self, logits: mx.array, sampling: Sampling, draws: Sequence[Draws], step: int
    ) -> tuple[mx.array, mx.array]:
        """The next id of each stream, (B,), and the same embedded, (B, 1, hidden_size).

        Args:
            logits: (B, up to N).
            draws: one for each stream, of which draw number `step` is made.
        """
        drawn = sample(logits, sampling, mx.stack([draw.key(step) for draw in draws]))
        return self.candidates[drawn], self.embed(drawn)

    def embed(self, drawn: mx.array) -> mx.array:
        """Candidates by their place (B,) → what the model is fed next, (B, 1, hidden_size)."""
        return self._embedded[drawn][:, None]

    def __call__(self, hidden: mx.array) -> mx.array:
        if self._packed is not None:
            return mx.quantized_matmul(hidden, self._weight, transpose=True, **self._packed)
        return hidden @ self._weight.T


def rows_of(layer: nn.Module, ids: mx.array) -> mx.array:
    """Some rows of a layer's matrix, unpacked: (N, hidden_size)."""
    if isinstance(layer, nn.QuantizedLinear):
        packed = (layer.weight[ids], layer.scales[ids], layer.biases[ids])
        return mx.dequantize(*packed, layer.group_size, layer.bits)
    return layer.weight[ids] if isinstance(layer, nn.Linear) else layer(ids)
