"""Changed configurations load and convert, or are refused in one line: no crash, no hang."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fuzz_values import mutations
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.convert import convert
from spark_mlx.errors import ConfigError, SparkError
from spark_mlx.tts import load

COUNT = int(os.environ.get("SPARK_MLX_FUZZ", "60"))  # of each test; `make fuzz` sets more
MOST_SECONDS = 5.0


def refusal(action: Callable[[], object]) -> str:
    """The message of a SparkError, "" for none; any other exception goes up."""
    begun = time.process_time()
    message = ""
    try:
        action()
    except SparkError as error:
        message = str(error)
        assert message
        assert len(message) < 2000
        assert "\n" not in message
    assert time.process_time() - begun < MOST_SECONDS
    return message


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """A model folder with weights of its own name and a configuration to be changed."""
    copy = tmp_path / "model"
    copy.mkdir()
    for path in model.iterdir():
        if path.name != "config.json":
            (copy / path.name).symlink_to(path)
    shutil.copy(model / "config.json", copy)
    return copy


def test_changed_configurations_load_or_are_refused(folder: Path) -> None:
    original = json.loads((folder / "config.json").read_text())
    refused = 0
    for path, value, config in mutations(original, COUNT, seed=1):
        (folder / "config.json").write_text(json.dumps(config))
        try:
            refused += bool(refusal(lambda: load(folder).say("Hi.", temperature=0)))
        except BaseException as error:
            error.add_note(f"with {path} = {value!r}") if hasattr(error, "add_note") else None
            raise
    assert refused > COUNT / 2


@pytest.mark.parametrize(
    "file",
    ["config.yaml", "BiCodec/config.yaml", "LLM/config.json", "wav2vec2-large-xlsr-53/config.json"],
)
def test_changed_checkpoints_convert_or_are_refused(
    checkpoint: Path, tmp_path: Path, file: str
) -> None:
    source = shutil.copytree(checkpoint, tmp_path / "source", copy_function=os.symlink)
    text = (checkpoint / file).read_text()
    original = json.loads(text) if file.endswith("json") else yaml.safe_load(text)
    refused = 0
    for path, value, config in mutations(original, COUNT // 4, seed=2):
        (source / file).unlink()
        (source / file).write_text(json.dumps(config))  # which is YAML too
        try:
            refused += bool(refusal(lambda: convert(source, tmp_path / "model", overwrite=True)))
        except BaseException as error:
            error.add_note(f"with {path} = {value!r}") if hasattr(error, "add_note") else None
            raise
    assert refused > 0


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 100_000 + "}"])
def test_deep_files_are_refused(folder: Path, checkpoint: Path, tmp_path: Path, deep: str) -> None:
    (folder / "config.json").write_text(deep)
    assert "damaged" in refusal(lambda: load(folder))
    source = shutil.copytree(checkpoint, tmp_path / "source", copy_function=os.symlink)
    for file in ("config.yaml", "LLM/config.json", "LLM/tokenizer.json"):
        kept = (source / file).readlink()
        (source / file).unlink()
        (source / file).write_text(deep)
        assert refusal(lambda: convert(source, tmp_path / "model"))
        (source / file).unlink()
        (source / file).symlink_to(kept)


@pytest.mark.parametrize(
    ("section", "setting", "value", "words"),
    [
        ("mel", "num_mels", 64, "input_dim is not mel's num_mels"),
        ("lm", "num_hidden_layers", 10**9, "an impossible value"),
        ("lm", "vocab_size", 1 << 20, ""),
        ("lm", "hidden_size", 64.0, "not a whole number"),
        ("lm", "tie_word_embeddings", 1, "not true or false"),
        ("wave_generator", "rates", [0, 5, 4, 2], "an impossible value"),
        ("prenet", "sample_ratios", [], "not a list"),
    ],
)
def test_settings_that_do_not_fit(
    model: Path, section: str, setting: str, value: Any, words: str
) -> None:
    config = json.loads((model / "config.json").read_text())
    config[section][setting] = value
    if not words:
        ModelConfig.from_dict(config, "config.json")
        return
    with pytest.raises(ConfigError, match=words):
        ModelConfig.from_dict(config, "config.json")


def test_a_model_that_fills_the_memory_is_refused(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["lm"] |= {"hidden_size": 8192, "intermediate_size": 16384, "num_hidden_layers": 200}
    with pytest.raises(ConfigError, match="billion parameters"):
        ModelConfig.from_dict(config, "config.json")
