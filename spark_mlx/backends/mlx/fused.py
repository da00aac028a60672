"""Layers of Qwen2 with fewer products: queries, keys and values in one, gate and up in one.

While single tokens are generated, a GPU waits longer for each product to begin than it computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.backends.mlx.activations import swiglu
from spark_mlx.model.layers import Mask
from spark_mlx.model.qwen2 import MLP, Attention, KVCache, Qwen2


class FusedAttention(nn.Module):
    """See `Attention`."""

    def __init__(self, plain: Attention) -> None:
        super().__init__()
        self._heads, self._kv_heads = plain.heads, plain.kv_heads
        self.qkv_proj = joined([plain.q_proj, plain.k_proj, plain.v_proj])
        self.o_proj = plain.o_proj
        self.rope = plain.rope
        self.attend = plain.attend

    def __call__(self, x: mx.array, cache: KVCache, mask: Mask) -> mx.array:
        batch, length, dim = x.shape
        position = cache.start + cache.length
        heads = self._heads + 2 * self._kv_heads
        qkv = self.qkv_proj(x).reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)
        # Rotated together: a rotation for queries and keys apart would be one more kernel.
        rotated = self.rope(qkv[:, : -self._kv_heads], position)
        queries, keys = rotated[:, : self._heads], rotated[:, self._heads :]
        keys, values = cache.append(keys, qkv[:, -self._kv_heads :])
        out = self.attend(queries, keys, values, mask)
        return self.o_proj(out.transpose(0, 2, 1, 3).reshape(batch, length, dim))


class FusedMLP(nn.Module):
    """See `MLP`."""

    def __init__(self, plain: MLP) -> None:
        super().__init__()
        self.gate_up_proj = joined([plain.gate_proj, plain.up_proj])
        self.down_proj = plain.down_proj

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(swiglu(*mx.split(self.gate_up_proj(x), 2, axis=-1)))


def joined(layers: Sequence[nn.Module]) -> nn.Module:
    """One linear layer that gives the outputs of several, one behind the other."""
    first = layers[0]
    if isinstance(first, nn.QuantizedLinear):
        whole = nn.QuantizedLinear(
            first.group_size, 1, "bias" in first, first.group_size, first.bits
        )
    else:
        whole = nn.Linear(1, 1, "bias" in first)
    for name in first.parameters():
        whole[name] = mx.concatenate([layer[name] for layer in layers])
    mx.eval(whole.parameters())
    return whole


def fuse(lm: Qwen2) -> None:
    """Fuse the layers of a model, in place, but those of which only a part is quantised."""
    for layer in lm.layers:
        attention, mlp = layer.self_attn, layer.mlp
        if len({type(part) for part in (attention.q_proj, attention.k_proj, attention.v_proj)}) < 2:
            layer.self_attn = FusedAttention(attention)
        if type(mlp.gate_proj) is type(mlp.up_proj):
            layer.mlp = FusedMLP(mlp)
