"""A Qwen2 whose layers are one call of the extension, for a token, a batch or a prompt on a CPU.

MLX dispatches some thousand small operations a token, and multiplies slowly with quantised weights.
Here weights stay in 8 or 4 bits, or float32, and are read once a token. Activations are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from spark_mlx.backends.cpu import native
from spark_mlx.checkpoints.weights import EmbeddingOnDisk
from spark_mlx.generation.sampling import Draws, Sampling
from spark_mlx.model.qwen2 import Batch, Head, KVCache, LMConfig, Qwen2, rows_of

Floats = npt.NDArray[np.float32]
Quantized = nn.QuantizedLinear | nn.QuantizedEmbedding

GROUP_SIZE = 64
BITS = (4, 8)
MOST_HEAD_DIM = 256
# Tokens of a stream that are computed at once: a prompt's intermediate values take 50 kB each.
MOST_TOGETHER = 512


def obstacle(lm: Qwen2) -> str | None:
    """Why this model cannot be computed here, or None where it can."""
    if native.layers() is None:
        return "the native extension is not there"
    config, head_dim = lm.config, lm.config.head_dim
    if config.hidden_size % config.num_attention_heads:
        return f"{config.num_attention_heads} heads do not divide {config.hidden_size} channels"
    if config.num_attention_heads % config.num_key_value_heads:
        return (
            f"{config.num_key_value_heads} heads cannot be shared by {config.num_attention_heads}"
        )
    if head_dim % 2 or head_dim > MOST_HEAD_DIM:
        return f"a head of {head_dim} channels is odd or wider than {MOST_HEAD_DIM}"
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
        extension = _extension()
        self.packed = extension.pack(arrays[0], scales, biases, self.rows, self.columns, self.bits)

    def __call__(self, x: mx.array) -> mx.array:
        """x (…, in) → (…, out)."""
        rows = np.ascontiguousarray(x)
        y = np.empty((*rows.shape[:-1], self.rows), np.float32)
        _extension().times(self.packed, rows, y, rows.size // self.columns)
        return mx.array(y)


class Stream(list[KVCache]):
    """What is remembered of one stream, in the extension's memory; as a list it is empty."""

    def __init__(self, cache: object) -> None:
        super().__init__()
        self.cache = cache


class NativeQwen2(Qwen2):
    """See `Qwen2`.

    Attributes:
        bits: of most of its weights; 32 for float32.
    """

    in_any_thread = True

    def __init__(self, lm: Qwen2) -> None:
        """Takes over the weights of `lm`, which keeps no layers and is not to be used any more."""
        nn.Module.__init__(self)
        self.config = config = lm.config
        self.embed_tokens = lm.embed_tokens
        self.norm = lm.norm
        self.layers = []
        if not config.tie_word_embeddings:
            self.lm_head = lm.lm_head
        self._tied = config.tie_word_embeddings
        self._heads: dict[tuple[int, ...], Head] = {}
        self.bits = _bits(lm.layers[0].mlp.gate_proj)
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
        norm = _plain(self.norm.weight)
        mx.eval(norm)
        self._decoder = _extension().decoder(
            sizes, config.rms_norm_eps, norm, _frequencies(config), layers
        )

    def make_cache(self, start: int = 0) -> Stream:
        # Only distances between positions matter, so each stream may begin at 0.
        return Stream(_extension().cache(self._decoder))

    def hidden(
        self, x: mx.array, cache: Sequence[KVCache], mask: mx.array | None = None
    ) -> mx.array:
        return mx.array(self.run(x, [cache]))

    def logits(self, x: mx.array, cache: Sequence[KVCache], head: Head) -> mx.array:
        return head(mx.array(self.run(x, [cache])[:, -1]))

    def run(self, x: mx.array, caches: Sequence[Sequence[KVCache]]) -> Floats:
        """`hidden` for several streams: x (streams, T, hidden_size) → the same shape."""
        rows = np.asarray(x)
        y = np.empty(rows.shape, np.float32)
        for start in range(0, x.shape[1], MOST_TOGETHER):
            part = np.ascontiguousarray(rows[:, start : start + MOST_TOGETHER])
            streams = [_stream(cache).cache for cache in caches for _ in range(part.shape[1])]
            found = np.empty_like(part)
            _extension().decode(self._decoder, streams, part, found)
            y[:, start : start + MOST_TOGETHER] = found
        return y

    def batch(self, caches: Sequence[Sequence[KVCache]]) -> Batch:
        return NativeBatch(self, caches)

    def head(self, candidates: tuple[int, ...]) -> Head:
        if candidates not in self._heads:
            output = self.embed_tokens if self._tied else self.lm_head
            self._heads[candidates] = NativeHead(output, self.embed_tokens, candidates)
        return self._heads[candidates]


class NativeBatch(Batch):
    """See `Batch`; each stream keeps a cache of its own."""

    def __init__(self, lm: NativeQwen2, caches: Sequence[Sequence[KVCache]]) -> None:
        self._native = lm
        self._caches = list(caches)

    def logits(self, x: mx.array, head: Head) -> mx.array:
        return head(mx.array(self._native.run(x, self._caches)[:, -1]))

    def keep(self, rows: Sequence[int]) -> None:
        self._caches = [self._caches[row] for row in rows]


class NativeHead(Head):
    """See `Head`; its weights stay in their bits, and the extension draws ids."""

    def __init__(self, layer: nn.Module, embedding: nn.Module, candidates: tuple[int, ...]) -> None:
        self.candidates = mx.array(candidates)
        self._matrix = Matrix(layer, candidates)
        self._ids = np.array(candidates, np.int32)
        self._rows = np.array(rows_of(embedding, self.candidates).astype(mx.float32))

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
        drawn: int = _extension().draw(logits, noise, sampling.temperature, sampling.top_p)
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


def _stream(cache: Sequence[KVCache]) -> Stream:
    assert isinstance(cache, Stream)  # as `make_cache` gave it
    return cache


def _bits(layer: nn.Module) -> int:
    return layer.bits if isinstance(layer, Quantized) else 32


def _plain(array: mx.array) -> mx.array:
    """As the extension reads it: float32 or words, without gaps."""
    return mx.contiguous(array if array.dtype == mx.uint32 else array.astype(mx.float32))


def _frequencies(config: LMConfig) -> Floats:
    """The angle by which each pair of channels turns from one position to the next."""
    pairs = np.arange(0, config.head_dim, 2, dtype=np.float32) / config.head_dim
    return (1.0 / np.float32(config.rope_theta) ** pairs).astype(np.float32)


def _extension() -> ModuleType:
    extension = native.layers()
    assert extension is not None
    return extension
