"""A checkpoint in the published layout → a model folder, one tensor at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import NoReturn

import mlx.core as mx
from tqdm import tqdm

from spark_mlx.checkpoints.model_config import Fingerprints, ModelConfig
from spark_mlx.checkpoints.model_files import CONFIG_FILE, TOKENIZER_FILE
from spark_mlx.checkpoints.quantization import DTYPES
from spark_mlx.convert import staging
from spark_mlx.convert.configs import CODEC_FOLDER, LM_FOLDER, WAV2VEC2_FOLDER, read_configs
from spark_mlx.convert.plan import Plan, Step, make_plan
from spark_mlx.convert.report import Report, card
from spark_mlx.convert.source import Source
from spark_mlx.convert.writer import SafetensorsWriter
from spark_mlx.errors import ConfigError, ModelError

BITS = (8, 4)


def convert(
    source: Path,
    destination: Path,
    *,
    dtype: str = "float32",
    quantize: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Report:
    """Converts the checkpoint in `source` into the model folder `destination`.

    Args:
        source: a folder in the layout of SparkAudio/Spark-TTS-0.5B.
        destination: written whole or not at all.
        dtype: of the language model, "float32" or "bfloat16"; the codec stays in float32.
        quantize: bits of the language model's linear layers and embedding, 8 or 4.
        overwrite: whether a model folder at `destination` is replaced.
        progress: whether a bar is drawn on stderr.

    Raises:
        ModelError: the checkpoint is incomplete or damaged, or the destination cannot be written.
        ConfigError: an option or a setting of the checkpoint has a value that cannot be.
    """
    if dtype not in DTYPES:
        why = ": float16 overflows in this model" if dtype == "float16" else ""
        raise ConfigError(f"dtype is float32 or bfloat16, not {dtype!r}{why}")
    if quantize is not None and quantize not in BITS:
        raise ConfigError(f"a language model is quantised to 8 or 4 bits, not {quantize!r}")
    staging.check(destination, overwrite)
    try:
        config = read_configs(source, dtype, quantize)
        weights = {
            folder: Source(source / folder) for folder in (LM_FOLDER, CODEC_FOLDER, WAV2VEC2_FOLDER)
        }
        plan = make_plan(config, weights)
    except (TypeError, ValueError, ArithmeticError) as error:
        # Sizes that are no numbers, or none that a layer can have.
        raise ConfigError(f"a setting of {source} has an impossible value ({error})") from error
    tokenizer = _read_tokenizer(source / LM_FOLDER / TOKENIZER_FILE)
    with (
        staging.staged(destination, overwrite) as folder,
        tqdm(
            total=_bytes(plan) + sum(weight.bytes for weight in weights.values()),
            unit="B",
            unit_scale=True,
            disable=not progress,
        ) as bar,
    ):
        for file, steps in plan.files.items():
            bar.set_description(file)
            _write(folder / file, steps, bar)
        bar.set_description("fingerprints")
        config = dataclasses.replace(
            config,
            fingerprint=Fingerprints(
                lm=_sha256(weights[LM_FOLDER], bar),
                codec=_sha256(weights[CODEC_FOLDER], bar),
                wav2vec2=_sha256(weights[WAV2VEC2_FOLDER], bar),
            ),
        )
        (folder / TOKENIZER_FILE).write_bytes(tokenizer)
        (folder / "README.md").write_text(card(config), encoding="utf-8")
        (folder / CONFIG_FILE).write_text(_json(config), encoding="utf-8")
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Report(destination, plan.used, plan.changed, plan.dropped, sizes)


def _write(path: Path, steps: list[Step], bar: tqdm[NoReturn]) -> None:
    specs = [spec for step in steps for spec in step.outputs]
    with SafetensorsWriter(path, specs) as writer:
        for step in steps:
            for spec, tensor in zip(step.outputs, step.run(), strict=True):
                writer.append(spec.name, tensor)
                bar.update(tensor.nbytes)
            # On a GPU, MLX would keep the memory of every tensor for the next.
            mx.clear_cache()


def _bytes(plan: Plan) -> int:
    specs = [spec for steps in plan.files.values() for step in steps for spec in step.outputs]
    return sum(spec.nbytes for spec in specs)


def _sha256(source: Source, bar: tqdm[NoReturn]) -> str:
    digest = hashlib.sha256()
    for block in source.blocks():
        digest.update(block)
        bar.update(len(block))
    return digest.hexdigest()


def _json(config: ModelConfig) -> str:
    return json.dumps(config.to_dict(), indent=2) + "\n"


def _read_tokenizer(path: Path) -> bytes:
    """The tokenizer's definition as it stands."""
    try:
        data = path.read_bytes()
        json.loads(data)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; copy or download it again") from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}); copy or download it again") from error
    return data
