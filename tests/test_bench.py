"""The benchmark: what it measures and how it is shown; never how long anything took."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from conftest import REFERENCE
from spark_mlx.cli import main
from spark_mlx.convert.configs import read_configs
from spark_mlx.diagnostics.bench import Work, run
from spark_mlx.diagnostics.random_model import FULL, random_tts, tokenizer_json
from spark_mlx.diagnostics.random_tokenizer import filled_tokenizer
from spark_mlx.diagnostics.system_info import machine, peak_memory
from spark_mlx.errors import ConfigError
from spark_mlx.generation.language_model import Batch
from spark_mlx.tts import SparkTTS

LITTLE = Work(clip_seconds=0.5, prompt_tokens=9, tokens=3, batches=(1, 2), sentence_tokens=4)
MEASURED = [
    "prefill",
    "lm_1",
    "lm_4",
    "lm_8",
    "decode",
    "whole_sentence",
    "first_audio",
    "waits",
    "real_time_factor_streamed",
    "real_time_factor",
    "peak_memory_speaking",
    "clone",
    "clone_transcript",
    "peak_memory_cloning",
]


@pytest.fixture(scope="module")
def random() -> SparkTTS:
    return random_tts("tiny")


# The random model.


def test_full_is_the_published_shape() -> None:
    published = read_configs(REFERENCE / "config-full", "float32", None)
    assert dataclasses.replace(FULL, fingerprint=published.fingerprint) == published


def test_ids_are_the_published_ones() -> None:
    added = {t["content"]: t["id"] for t in json.loads(tokenizer_json())["added_tokens"]}
    published = {
        "im_end": 151645,
        "bicodec_global_0": 151665,
        "bicodec_semantic_0": 155761,
        "task_tts": 165137,
        "task_controllable_tts": 165143,
        "start_content": 165146,
        "start_global_token": 165150,
        "end_semantic_token": 165157,
    }
    assert {name: added[f"<|{name}|>"] for name in published} == published
    whole = filled_tokenizer(first_added_id=151643, global_codes=4096, semantic_codes=8192)
    assert added == {content: whole.token_to_id(content) for content in added}


def test_random_model_clones_creates_and_speaks(random: SparkTTS) -> None:
    clip = (0.3 * np.sin(np.arange(16_000) * 0.05) ** 3, 16_000)
    for voice in (
        random.create_voice(seed=3),
        random.clone(clip),
        random.clone(clip, transcript="Hm."),
    ):
        prompt = random.prompt("Hi.", voice)
        assert prompt[0] in (165137, 165143)
        assert max(prompt) < random.config.lm.vocab_size
    samples = random.say("Hi.", random.create_voice(seed=3)).samples
    assert 0.01 < samples.std() < 0.7


def test_random_model_is_the_same_every_time(random: SparkTTS) -> None:
    ids = mx.array([[165137, 72, 105, 165150]])
    logits = random.lm(ids)
    assert mx.array_equal(logits, random_tts("tiny").lm(ids))
    assert 0.1 < logits.std().item() < 10


def test_random_model_is_for_use_and_not_for_training(random: SparkTTS) -> None:
    # As a loaded one is: training does without the fastest layers.
    parts = (random.codec.bicodec, random.codec.semantic_encoder)
    assert not any(layer.training for part in parts for layer in part.modules())


def test_random_model_in_other_precisions() -> None:
    tts = random_tts("tiny", dtype="bfloat16", quantize=8)
    assert tts.lm.dtype == "bfloat16"
    assert tts.lm.model.embed_tokens.bits == 8
    assert (tts.config.dtype, tts.config.quantize) == ("bfloat16", 8)


@pytest.mark.parametrize("wrong", [{"shape": "huge"}, {"dtype": "float16"}])
def test_random_model_refuses(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong.values()))):
        random_tts(**wrong)


# What is measured.


def test_each_is_measured_as_often_as_asked() -> None:
    loads: list[str] = []
    told: list[str] = []

    def load() -> SparkTTS:
        loads.append("once")
        return random_tts("tiny")

    results = run(load, model="mine", repeats=2, work=LITTLE, progress=told.append)
    assert len(loads) == 2
    expected = ["load", *(name for name in MEASURED if name not in ("lm_4", "lm_8"))]
    expected.insert(expected.index("lm_1") + 1, "lm_2")
    assert [measurement.name for measurement in results.measurements] == expected
    for measurement in results.measurements:
        assert len(measurement.values) == (1 if "memory" in measurement.name else 2)
        assert all(value > 0 or measurement.name == "waits" for value in measurement.values)
    whats = [measurement.what for measurement in results.measurements]
    assert [what for what in told if what in whats] == [what for what in whats if what in told]
    assert len(told) == 9
    by_name = {measurement.name: measurement for measurement in results.measurements}
    seconds = LITTLE.sentence_tokens / 50
    for audio, factor in zip(
        by_name["whole_sentence"].values, by_name["real_time_factor"].values, strict=True
    ):
        assert factor == pytest.approx(audio / seconds)
    assert (results.model, results.dtype, results.quantize) == ("mine", "float32", None)


def test_every_stream_draws_its_tokens(random: SparkTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[tuple[int, ...]] = []
    begin = random.lm.batch

    def spied(logits: Callable[..., mx.array]) -> Callable[..., mx.array]:
        def spy(x: mx.array, *others: Any) -> mx.array:
            fed.append(x.shape[:2])
            return logits(x, *others)

        return spy

    def batch(caches: list[Any]) -> Batch:
        begun = begin(caches)
        monkeypatch.setattr(begun, "logits", spied(begun.logits))
        return begun

    monkeypatch.setattr(random.lm, "logits", spied(random.lm.logits))
    monkeypatch.setattr(random.lm, "batch", batch)
    run(lambda: random, repeats=1, time_load=False, work=LITTLE)
    assert (1, LITTLE.prompt_tokens) in fed
    # A run to warm up and one that counts; the first token comes with the prompt.
    assert fed.count((2, 1)) >= 2 * (LITTLE.tokens - 1)


def test_a_model_made_up_is_not_timed(random: SparkTTS) -> None:
    results = run(lambda: random, repeats=1, time_load=False, work=LITTLE)
    assert "load" not in [measurement.name for measurement in results.measurements]


def test_no_repeats_are_refused(random: SparkTTS) -> None:
    with pytest.raises(ConfigError, match="0 times"):
        run(lambda: random, repeats=0)


def test_results_are_plain(random: SparkTTS) -> None:
    data = run(lambda: random, repeats=3, time_load=False, work=LITTLE).to_dict()
    assert json.loads(json.dumps(data))["work"]["batches"] == [1, 2]
    for measurement in data["measurements"]:
        values = sorted(measurement["values"])
        summary = [measurement[name] for name in ("lowest", "median", "highest")]
        assert summary == [values[0], values[len(values) // 2], values[-1]]


def test_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_MLX_BACKEND", "auto")
    here = machine()
    assert here.cores >= 1
    assert here.device in ("CPU", "Metal GPU", "CUDA GPU")
    assert here.packages["mlx"].startswith(mx.__version__.partition("+")[0])
    assert 1e8 < here.memory < 1e14
    assert here.python.startswith("3.")
    assert here.settings["SPARK_MLX_BACKEND"] == "auto"
    assert "HOME" not in here.settings


def test_two_backends_are_a_broken_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = {"mlx-cpu": "0.32.4", "mlx-cuda-13": "0.32.4"}
    monkeypatch.setattr("spark_mlx.diagnostics.system_info._versions", lambda: installed)
    assert main(["doctor", "--json", "--model", "nowhere/at/all"]) == 1
    findings = {one["topic"]: one for one in json.loads(capsys.readouterr().out)}
    assert findings["device"]["ok"] is False
    assert "pip uninstall mlx-cpu mlx-cuda-13 mlx" in findings["device"]["detail"]
    assert findings["versions"]["data"]["cores"] >= 1
    assert len(findings["numbers"]["data"]) == 8


def test_peak_memory_is_in_bytes() -> None:
    # Python with MLX takes more than 30 MB and less than 100 GB.
    assert 30e6 < peak_memory() < 100e9


# The command.


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--random", "tiny", "--repeats", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    data = json.loads(out)
    assert set(data) == {
        "machine",
        "model",
        "dtype",
        "quantize",
        "work",
        "measurements",
        "mlx_memory",
    }
    assert data["machine"] == json.loads(json.dumps(dataclasses.asdict(machine())))
    assert data["mlx_memory"]["peak"] >= data["mlx_memory"]["active"] > 0
    assert data["model"] == "random, tiny"
    assert [measurement["name"] for measurement in data["measurements"]] == MEASURED
    for measurement in data["measurements"]:
        assert set(measurement) == {
            "name",
            "what",
            "unit",
            "values",
            "median",
            "lowest",
            "highest",
        }


def test_table(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", str(model), "--repeats", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    about, _, rows = out.partition("\n\n")
    assert str(model) in about
    heads, load, *others = rows.splitlines()
    assert heads.split() == ["median", "spread", "unit"]
    assert load.split()[0] == "load"
    assert len(others) == len(MEASURED)
    # The units stand below one another.
    assert len({line.rindex("  ") for line in (heads, load, *others)}) == 1


@pytest.mark.parametrize(
    "args", [["--quantize", "8"], ["--repeats", "0"], ["--random", "tiny", "--repeats", "-1"]]
)
def test_usage_mistakes(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("spark-mlx: --")
    assert err.count("\n") == 1
