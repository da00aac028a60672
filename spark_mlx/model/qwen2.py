"""Qwen2.5, the generator of tokens: ids (B, T) → logits (B, T, vocab).

Inference with a key-value cache; attention, norms and rotary positions are MLX's fused ones.

Source: `Qwen2ForCausalLM` of transformers; "Qwen2.5 Technical Report" (2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.config import Config
from spark_mlx.model.layers import Mask, RotaryEmbedding, ScaledDotProductAttention, SiLU


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

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        self._head_dim = config.head_dim
        kv_dim = config.num_key_value_heads * self._head_dim
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, kv_dim)
        self.v_proj = nn.Linear(dim, kv_dim)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.rope = RotaryEmbedding(config.head_dim, config.rope_theta)
        self.attend = ScaledDotProductAttention(config.head_dim)

    def __call__(self, x: mx.array, cache: KVCache, mask: Mask) -> mx.array:
        batch, length, dim = x.shape
        position = cache.start + cache.length

        def split_heads(y: mx.array) -> mx.array:
            return y.reshape(batch, length, -1, self._head_dim).transpose(0, 2, 1, 3)

        queries = self.rope(split_heads(self.q_proj(x)), position)
        keys = self.rope(split_heads(self.k_proj(x)), position)
        keys, values = cache.append(keys, split_heads(self.v_proj(x)))
        out = self.attend(queries, keys, values, mask)
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
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        dim, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = Attention(config)
        self.mlp = MLP(dim, config.intermediate_size)
        self.input_layernorm = nn.RMSNorm(dim, eps=eps)
        self.post_attention_layernorm = nn.RMSNorm(dim, eps=eps)

    def __call__(self, x: mx.array, cache: KVCache, mask: Mask) -> mx.array:
        x = x + self.self_attn(self.input_layernorm(x), cache, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Qwen2(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = [Layer(config) for _ in range(config.num_hidden_layers)]
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def output(self) -> nn.Module:
        """The layer with a row for each id: the output layer, or the embedding in its place."""
        return self.embed_tokens if self.config.tie_word_embeddings else self.lm_head

    def make_cache(self, start: int = 0) -> list[KVCache]:
        """An empty cache for `hidden` to fill: one entry a layer."""
        return [KVCache(start) for _ in self.layers]

    def embed(self, ids: mx.array) -> mx.array:
        """ids (B, T) → (B, T, hidden_size)."""
        return self.embed_tokens(ids)

    def hidden(self, x: mx.array, cache: Sequence[KVCache], mask: Mask) -> mx.array:
        """The last layer's normalised output for embedded ids that follow what `cache` holds.

        Args:
            x: (B, T, hidden_size).
            mask: what each token may look at, of the positions in the cache and its own.

        Returns: (B, T, hidden_size).
        """
        for layer, layer_cache in zip(self.layers, cache, strict=True):
            x = layer(x, layer_cache, mask)
        return self.norm(x)

    def __call__(self, ids: mx.array, cache: Sequence[KVCache] | None = None) -> mx.array:
        """Logits over the whole vocabulary: ids (B, T) → (B, T, vocab_size)."""
        cache = self.make_cache() if cache is None else cache
        x = self.hidden(self.embed(ids), cache, causal(ids.shape[1]))
        tied = self.config.tie_word_embeddings
        return self.embed_tokens.as_linear(x) if tied else self.lm_head(x)


def causal(length: int) -> Mask:
    """The mask of `length` tokens of one stream, of which none sees those after it."""
    return "causal" if length > 1 else None
