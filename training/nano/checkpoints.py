"""What training leaves behind: checkpoints to go on from, and folders that the runtime loads.

A checkpoint is one safetensors file: arrays under the name of what they belong to ("model.…",
"optimiser.…"), and numbers as JSON in its metadata. A new one takes the old one's place at once or
not at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from config import tokenizer_json
from spark_mlx.codec.codec import CODEC_FILE, ENCODER_FILE
from spark_mlx.lm import Qwen2
from spark_mlx.model_config import CONFIG_FILE, Fingerprints, ModelConfig
from spark_mlx.paths import write_whole
from spark_mlx.pipeline import LM_FILE
from spark_mlx.tokens import TOKENIZER_FILE

Tree = dict[str, Any]


def save(path: Path, parts: Mapping[str, Tree], numbers: Mapping[str, Any]) -> None:
    """Writes trees of arrays by name, and whatever numbers JSON can hold."""
    arrays = {
        f"{part}.{name}": array for part, tree in parts.items() for name, array in _flat(tree)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, arrays, {"numbers": json.dumps(dict(numbers))})


def load(path: Path) -> tuple[dict[str, Tree], dict[str, Any]]:
    """Reads what `save` wrote: trees by name, and numbers."""
    arrays, metadata = mx.load(str(path), return_metadata=True)
    # MLX reads arrays when they are first used, and by then the file may be a newer one.
    mx.eval(arrays)
    parts: dict[str, list[tuple[str, mx.array]]] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, []).append((rest, array))
    trees = {part: tree_unflatten(flat) for part, flat in parts.items()}
    return trees, json.loads(metadata["numbers"])


def export(
    folder: Path,
    config: ModelConfig,
    *,
    bicodec: nn.Module | None = None,
    semantic: nn.Module | None = None,
    lm: Qwen2 | None = None,
) -> ModelConfig:
    """Writes parts of a model as the runtime loads them; parts not given stay as they are.

    Returns: the configuration, with the fingerprints of what the folder now holds. The codec's is
    that of its tokens: voices and language models go on with a codec that only speaks better.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in ((CODEC_FILE, bicodec), (ENCODER_FILE, semantic), (LM_FILE, lm)):
        if module is not None:
            _write(folder / name, dict(_flat(module.parameters())), {})
    whole = (folder / CODEC_FILE).exists() and (folder / ENCODER_FILE).exists()
    marks = Fingerprints(
        lm=_sha256(folder / LM_FILE),
        codec=_tokens_mark(folder) if whole else "untrained",
        wav2vec2=_sha256(folder / ENCODER_FILE),
    )
    config = dataclasses.replace(config, fingerprint=marks)
    save_config(folder, config)
    tokenizer = tokenizer_json(config.speaker_encoder.codes, config.quantizer.codebook_size)
    write_whole(folder / TOKENIZER_FILE, tokenizer.encode())
    return config


def save_config(folder: Path, config: ModelConfig) -> None:
    """Writes a model folder's configuration."""
    write_whole(folder / CONFIG_FILE, (json.dumps(config.to_dict(), indent=2) + "\n").encode())


def _tokens_mark(folder: Path) -> str:
    """A fingerprint of what turns sound into tokens in a model folder, without what speaks them.

    Two codecs with the same mark give every recording the same tokens.
    """
    speaker = "speaker_encoder."
    parts = tuple(speaker + part for part in ("speaker_encoder", "perceiver_sampler", "quantizer"))
    digest = hashlib.sha256()
    for name, wanted in ((ENCODER_FILE, ""), (CODEC_FILE, ("quantizer.codebook", *parts))):
        arrays = mx.load(str(folder / name))
        for key in sorted(key for key in arrays if key.startswith(wanted)):
            digest.update(key.encode())
            digest.update(np.array(arrays[key]).tobytes())
    return digest.hexdigest()


def _flat(tree: Tree) -> list[tuple[str, mx.array]]:
    flat: list[tuple[str, mx.array]] = tree_flatten(tree)
    return flat


def _write(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str]) -> None:
    part = path.with_name(f".{path.stem}-{os.getpid()}.part.safetensors")
    try:
        mx.save_safetensors(str(part), arrays, metadata)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "untrained"
