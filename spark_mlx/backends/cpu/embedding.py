"""Embed ids with rows read from the weight file: ids (…) → (…, hidden_size)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from safetensors import safe_open


class EmbeddingOnDisk(nn.Module):
    """An embedding whose rows are read where they lie, when they are asked for.

    A sentence takes some dozens of the 166,000 rows of the published model, and the output layer
    8,193 of them; left on disk, the others are 0.5 GB that need not be in memory, or 0.17 GB in
    8 bits.
    """

    def __init__(
        self, path: Path, name: str, bits: int | None = None, group_size: int = 64
    ) -> None:
        """
        Args:
            path: a safetensors file that holds float32 only, and the words of quantised rows.
            name: of the embedding in it.
            bits: of its weights, if they are quantised.
        """
        super().__init__()
        self._name = name
        self._bits = bits
        self._group_size = group_size
        self._file = safe_open(path, framework="numpy")

    def __call__(self, ids: mx.array) -> mx.array:
        """ids of any shape (…) → (…, hidden_size). The ids are evaluated."""
        rows = self.cut(np.asarray(ids).ravel().tolist())
        return rows(mx.arange(ids.size)).reshape(*ids.shape, -1)

    def as_linear(self, x: mx.array) -> mx.array:
        """x (…, hidden_size) → (…, vocab), with all rows in memory for as long as it takes."""
        return self.cut(range(self._part("weight").get_shape()[0])).as_linear(x)

    def cut(self, ids: Sequence[int]) -> nn.Embedding | nn.QuantizedEmbedding:
        """An embedding of these rows alone, in memory."""
        if self._bits is None:
            plain = nn.Embedding(1, 1)
            plain.weight = self._rows("weight", ids)
            return plain
        packed = nn.QuantizedEmbedding(1, self._group_size, self._group_size, self._bits)
        for part in ("weight", "scales", "biases"):
            packed[part] = self._rows(part, ids)
        return packed

    def _rows(self, part: str, ids: Sequence[int]) -> mx.array:
        """Rows that follow one another are read together."""
        rows = self._part(part)
        starts = [i for i, id_ in enumerate(ids) if i == 0 or id_ != ids[i - 1] + 1]
        runs = zip(starts, [*starts[1:], len(ids)], strict=True)
        return mx.array(np.concatenate([rows[ids[i] : ids[j - 1] + 1] for i, j in runs]))

    def _part(self, part: str) -> Any:
        return self._file.get_slice(f"{self._name}.{part}")
