"""A Qwen2 whose layers are one call of the extension, for a token, a batch or a prompt on a CPU.

MLX dispatches some thousand small operations a token, and multiplies slowly with quantised weights.
Here weights stay in 8 or 4 bits, or float32, and are read once a token. Activations are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from spark_mlx.backends.cpu import native
from spark_mlx.backends.cpu.attention import frequencies
from spark_mlx.backends.cpu.embedding import EmbeddingOnDisk
from spark_mlx.backends.cpu.functions import extension
from spark_mlx.generation.language_model import Head
from spark_mlx.generation.sampling import Draws, Sampling
from spark_mlx.model.qwen2 import Qwen2

Floats = npt.NDArray[np.float32]
Quantized = nn.QuantizedLinear | nn.QuantizedEmbedding

GROUP_SIZE = 64
BITS = (4, 8)
MAX_HEAD_DIM = 256
# Tokens of a stream that are computed at once: a prompt's intermediate values take 50 kB each.
MAX_TOGETHER = 512


def obstacle(lm: Qwen2) -> str | None:
    """Why this model cannot be computed here, or None where it can."""
    if native.layers() is None:
        return "the native extension is not there"
    if lm.norm.weight.dtype != mx.float32:
        return "native code computes in float32 only"
    config, head_dim = lm.config, lm.config.head_dim
    if config.hidden_size % config.num_attention_heads:
        return f"{config.num_attention_heads} heads do not divide {config.hidden_size} channels"
    if config.num_attention_heads % config.num_key_value_heads:
        return (
            f"{config.num_key_value_heads} heads cannot be shared by {config.num_attention_heads}"
        )
    if head_dim % 2 or head_dim > MAX_HEAD_DIM:
        return f"a head of {head_dim} channels is odd or wider than {MAX_HEAD_DIM}"
    for name, module in lm.named_modules():
        if isinstance(module, Quantized) and (
            module.bits not in BITS or module.group_size != GROUP_SIZE
        ):
            return f"{name} has {module.bits} bits in groups of {module.group_size}"
    return None


class Matrix:
    """Weights (out, in), packed as the extension reads them."""

    def __init__(self, layer: nn.Module, rows: tuple[int, ...] | None = None) -> None:
        """Packs a linear layer or an embedding, quantised or not, or some of its rows."""
        if isinstance(layer, EmbeddingOnDisk) and rows is not None:
            layer, rows = layer.cut(rows), None
        quantized = isinstance(layer, Quantized)
        arrays = [layer[name] for name in ("weight", "scales", "biases")[: 3 if quantized else 1]]
        if rows is not None:
            arrays = [array[mx.array(rows)] for array in arrays]
        arrays = [_plain(array) for array in arrays]
        mx.eval(arrays)
        self.bits = layer.bits if quantized else 32
        self.rows, words = arrays[0].shape
        self.columns = words * 32 // self.bits
        scales, biases = arrays[1:] if quantized else (None, None)
        self.packed = extension().pack(
            arrays[0], scales, biases, self.rows, self.columns, self.bits
        )

    def __call__(self, x: mx.array) -> mx.array:
        """x (…, in) → (…, out)."""
        rows = np.ascontiguousarray(x)
        y = np.empty((*rows.shape[:-1], self.rows), np.float32)
        extension().times(self.packed, rows, y, rows.size // self.columns)
        return mx.array(y)


class NativeQwen2:
    """See `LanguageModel`; its caches are objects of the extension.

    Attributes:
        bits: of most of its weights; 32 for float32.
    """

    dtype = "float32"

    def __init__(self, lm: Qwen2, embedding: EmbeddingOnDisk | None = None) -> None:
        """
        Args:
            lm: its weights are taken over; it keeps no layers and is not to be used any more.
            embedding: in place of the one in `lm`.
        """
        config = lm.config
        self._embedding = embedding or lm.embed_tokens
        self._output = self._embedding if config.tie_word_embeddings else lm.lm_head
        self._heads: dict[tuple[int, ...], NativeHead] = {}
        self.bits = _bits(lm.layers[0].mlp.gate_proj)
        if embedding is None:
            mx.eval(lm.embed_tokens.parameters())
        mx.eval(() if config.tie_word_embeddings else lm.lm_head.parameters())
        layers = []
        while lm.layers:  # one by one, so that both forms of all of them are never in memory
            layers.append(_packed(lm.layers.pop(0)))
        sizes = (
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        norm = _plain(lm.norm.weight)
        mx.eval(norm)
        angles = frequencies(config.head_dim, config.rope_theta)
        self._decoder = extension().decoder(sizes, config.rms_norm_eps, norm, angles, layers)

    @property
    def computes_in(self) -> str:
        return f"{'float32' if self.bits == 32 else f'{self.bits} bit'}, by native code"

    def __call__(self, ids: mx.array, cache: object | None = None) -> mx.array:
        x = self.hidden(self.embed(ids), self.make_cache() if cache is None else cache)
        tied = self._output is self._embedding
        return self._embedding.as_linear(x) if tied else self._output(x)

    def make_cache(self, start: int = 0) -> object:
        # Only distances between positions matter, so each stream may begin at 0.
        return extension().cache(self._decoder)

    def embed(self, ids: mx.array) -> mx.array:
        return self._embedding(ids)

    def head(self, candidates: tuple[int, ...]) -> NativeHead:
        if candidates not in self._heads:
            self._heads[candidates] = NativeHead(self._output, self._embedding, candidates)
        return self._heads[candidates]

    def logits(self, x: mx.array, cache: object, head: Head) -> mx.array:
        return head(self.hidden(x, cache)[:, -1])

    def hidden(self, x: mx.array, cache: object) -> mx.array:
        """The last layer's normalised output: embedded ids (1, T, hidden_size) → the same shape."""
        return mx.array(self.run(x, [cache]))

    def run(self, x: mx.array, caches: Sequence[object]) -> Floats:
        """`hidden` for several streams: x (streams, T, hidden_size) → the same shape."""
        rows = np.asarray(x)
        y = np.empty(rows.shape, np.float32)
        for start in range(0, x.shape[1], MAX_TOGETHER):
            part = np.ascontiguousarray(rows[:, start : start + MAX_TOGETHER])
            streams = [cache for cache in caches for _ in range(part.shape[1])]
            found = np.empty_like(part)
            extension().decode(self._decoder, streams, part, found)
            y[:, start : start + MAX_TOGETHER] = found
        return y

    def batch(self, caches: Sequence[object]) -> NativeBatch:
        return NativeBatch(self, caches)


class NativeBatch:
    """See `Batch`; each stream keeps a cache of its own."""

    def __init__(self, lm: NativeQwen2, caches: Sequence[object]) -> None:
        self._lm = lm
        self._caches = list(caches)

    def logits(self, x: mx.array, head: Head) -> mx.array:
        return head(mx.array(self._lm.run(x, self._caches)[:, -1]))

    def keep(self, rows: Sequence[int]) -> None:
        self._caches = [self._caches[row] for row in rows]


class NativeHead:
    """See `Head`; its weights stay in their bits, and the extension draws ids."""

    def __init__(self, layer: nn.Module, embedding: nn.Module, candidates: tuple[int, ...]) -> None:
        self.candidates = mx.array(candidates)
        self._matrix = Matrix(layer, candidates)
        self._ids = np.array(candidates, np.int32)
        self._rows = np.array(embedding(self.candidates).astype(mx.float32))

    def __call__(self, hidden: mx.array) -> mx.array:
        return self._matrix(hidden)

    def draw(
        self, logits: mx.array, sampling: Sampling, draws: Sequence[Draws], step: int
    ) -> tuple[mx.array, mx.array]:
        rows = np.ascontiguousarray(logits)
        drawn = [self._drawn(row, sampling, d, step) for row, d in zip(rows, draws, strict=True)]
        return mx.array(self._ids[drawn]), mx.array(self._rows[drawn][:, None])

    def embed(self, drawn: mx.array) -> mx.array:
        return mx.array(self._rows[np.asarray(drawn)][:, None])

    @staticmethod
    def _drawn(logits: Floats, sampling: Sampling, draws: Draws, step: int) -> int:
        """The draw that `sample` makes."""
        if sampling.temperature == 0:
            return int(logits.argmax())
        kept = min(sampling.top_k or len(logits), len(logits))
        noise = draws.noise(step, kept)
        drawn: int = extension().draw(logits, noise, sampling.temperature, sampling.top_p)
        return drawn


def _packed(layer: nn.Module) -> tuple[Any, ...]:
    """A layer as the extension's `decoder` takes it."""
    attention, mlp = layer.self_attn, layer.mlp
    linears = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
    linears += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    vectors = [layer.input_layernorm.weight, layer.post_attention_layernorm.weight]
    vectors += [linear.bias for linear in linears[:3]]
    vectors = [_plain(vector) for vector in vectors]
    mx.eval(vectors)
    return (*vectors[:2], *(Matrix(linear).packed for linear in linears), *vectors[2:])


def _bits(layer: nn.Module) -> int:
    return layer.bits if isinstance(layer, Quantized) else 32


def _plain(array: mx.array) -> mx.array:
    """As the extension reads it: float32 or words, without gaps."""
    return mx.contiguous(array if array.dtype == mx.uint32 else array.astype(mx.float32))
