"""The converter: what it computes, what it refuses, and what it leaves behind."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import yaml
from mlx.utils import tree_flatten
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from random_checkpoint import write_checkpoint
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.weights import load_weights
from spark_mlx.convert import Report, convert, layout, names, plan
from spark_mlx.convert.configs import read_configs
from spark_mlx.convert.writer import SafetensorsWriter, TensorSpec
from spark_mlx.diagnostics.random_weights import random_tensor
from spark_mlx.errors import ConfigError, ModelError
from spark_mlx.model.bicodec.ecapa import FoldedBatchNorm
from spark_mlx.model.layers import ConvTranspose1d

LM, CODEC, W2V = "LLM", "BiCodec", "wav2vec2-large-xlsr-53"
FILES = {"lm.safetensors", "codec.safetensors", "encoder.safetensors"}


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def edit_weights(path: Path, edit: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


def edit_config(path: Path, *keys: str, value: object) -> None:
    """Sets one value, or with None removes it, in a YAML or JSON file."""
    parse = json.loads if path.suffix == ".json" else yaml.safe_load
    section = tree = parse(path.read_text())
    for key in keys[:-1]:
        section = section[key]
    section.pop(keys[-1], None)
    if value is not None:
        section[keys[-1]] = value
    path.write_text(json.dumps(tree))  # YAML reads JSON


def loads(folder: Path) -> None:
    """Every parameter of the runtime is there, and nothing else."""
    for file, module in plan.skeletons(ModelConfig.load(folder)).items():
        load_weights(module, folder / file)


def load(path: Path) -> dict[str, mx.array]:
    """The tensors of a file, bfloat16 included."""
    tensors = mx.load(str(path))
    assert isinstance(tensors, dict)
    return tensors


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


# ---- what it writes


def test_model_folder(checkpoint: Path, model: Path) -> None:
    assert {path.name for path in model.iterdir()} == {
        *FILES,
        "config.json",
        "tokenizer.json",
        "README.md",
    }
    loads(model)
    config = ModelConfig.load(model)
    for folder, part in ((LM, "lm"), (CODEC, "codec"), (W2V, "wav2vec2")):
        file = "pytorch_model.bin" if folder == W2V else "model.safetensors"
        digest = hashlib.sha256((checkpoint / folder / file).read_bytes()).hexdigest()
        assert getattr(config.fingerprint, part) == digest
    card = (model / "README.md").read_text()
    assert "CC BY-NC-SA 4.0" in card
    assert config.fingerprint.codec in card
    assert "consent" in card
    source = (checkpoint / LM / "tokenizer.json").read_bytes()
    assert (model / "tokenizer.json").read_bytes() == source


def test_float32_is_exact(model: Path) -> None:
    tensors = load_file(model / "lm.safetensors")
    for name in ("embed_tokens.weight", "layers.1.mlp.down_proj.weight", "norm.weight"):
        expected = random_tensor(f"model.{name}", tensors[name].shape)
        np.testing.assert_array_equal(tensors[name], expected)


def test_bfloat16_concerns_the_language_model_alone(checkpoint: Path, tmp_path: Path) -> None:
    convert(checkpoint, tmp_path / "model", dtype="bfloat16")
    loads(tmp_path / "model")
    for file in FILES:
        dtypes = {x.dtype for x in load(tmp_path / "model" / file).values()}
        assert dtypes == {mx.bfloat16 if file == "lm.safetensors" else mx.float32}
    weight = load(tmp_path / "model" / "lm.safetensors")["embed_tokens.weight"]
    exact = mx.array(random_tensor("model.embed_tokens.weight", weight.shape))
    assert mx.array_equal(weight, exact.astype(mx.bfloat16))


@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.006), (4, 0.07)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_quantised(
    checkpoint: Path, tmp_path: Path, bits: int, tolerance: float, dtype: str
) -> None:
    convert(checkpoint, tmp_path / "model", dtype=dtype, quantize=bits)
    loads(tmp_path / "model")
    tensors = load(tmp_path / "model" / "lm.safetensors")
    name = "layers.0.mlp.gate_proj"
    packed, scales, biases = (tensors[f"{name}.{part}"] for part in ("weight", "scales", "biases"))
    weight = mx.dequantize(packed, scales, biases, 64, bits).astype(mx.float32)
    expected = random_tensor(f"model.{name}.weight", weight.shape)
    assert scales.dtype == getattr(mx, dtype)
    assert np.abs(np.array(weight) - expected).max() < tolerance
    # 160 columns do not divide into groups of 64.
    assert tensors["layers.0.mlp.down_proj.weight"].dtype == getattr(mx, dtype)


def test_report(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = convert(checkpoint, tmp_path / "model")
    assert isinstance(report, Report)
    assert report.used == 837
    assert report.changed == {"weight norms folded": 33, "batch norms folded": 28}
    assert report.dropped["x-vector"] == (11, 997057)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "model").iterdir()}
    assert report.sizes == sizes
    assert "dropped  11 tensors, 1.0 M numbers: x-vector" in str(report).splitlines()
    assert capsys.readouterr() == ("", "")


# ---- what it computes


def test_weight_norm_of_a_transposed_convolution(model: Path) -> None:
    upstream = "decoder.model.2.block.1"
    gain = random_tensor(f"{upstream}.weight_g", (32, 1, 1)).astype(np.float64)
    direction = random_tensor(f"{upstream}.weight_v", (32, 16, 11)).astype(np.float64)
    expected = np.empty((16, 11, 32))
    for i in range(32):
        length = np.sqrt((direction[i] ** 2).sum())
        for o in range(16):
            expected[o, :, i] = gain[i, 0, 0] * direction[i, o] / length
    found = load_file(model / "codec.safetensors")["wave_generator.model.2.block.1.weight"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_positional_convolution_has_a_gain_for_each_tap(model: Path) -> None:
    upstream = "wav2vec2.encoder.pos_conv_embed.conv"
    gain = random_tensor(f"{upstream}.weight_g", (1, 1, 128)).astype(np.float64)
    direction = random_tensor(f"{upstream}.weight_v", (64, 4, 128)).astype(np.float64)
    length = np.sqrt(np.einsum("oik,oik->k", direction, direction))
    expected = np.einsum("oik,k->oki", direction, gain[0, 0] / length)
    found = load_file(model / "encoder.safetensors")[f"{upstream}.weight"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_grouped_transposed_convolution() -> None:
    """Against the definition: a group's outputs see that group's inputs alone."""
    groups, in_group, out_group, kernel = 3, 2, 4, 5
    shape = groups * in_group, out_group, kernel
    x = np.arange(groups * in_group * out_group * kernel, dtype=np.float32).reshape(shape)
    module = ConvTranspose1d(groups * in_group, groups * out_group, kernel, 1, groups=groups)
    assert layout.torch_shape(module, "weight", module.weight.shape, False) == x.shape
    found = layout.from_torch(module, "weight", x, False)
    assert found.shape == module.weight.shape
    for group in range(groups):
        for i in range(in_group):
            for o in range(out_group):
                upstream = x[group * in_group + i, o]
                np.testing.assert_array_equal(found[group * out_group + o, :, i], upstream)


def test_batch_norm(model: Path) -> None:
    base = "speaker_encoder.speaker_encoder.layer2.se_res2block.1.bns.3"
    weight, bias, mean, variance = (
        random_tensor(f"{base}.{leaf}", (64,)).astype(np.float64)
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    x = np.linspace(-2, 2, 64)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * weight + bias
    tensors = load_file(model / "codec.safetensors")
    found = x * tensors[f"{base}.scale"] + tensors[f"{base}.shift"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_new_names_of_weight_norm(copy: Path, model: Path, tmp_path: Path) -> None:
    def rename(tensors: dict[str, np.ndarray]) -> None:
        for name in list(tensors):
            for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
                if name.endswith(old):
                    base = name.removesuffix(old)
                    tensors[f"{base}parametrizations.weight.{new}"] = tensors.pop(name)

    edit_weights(copy / CODEC / "model.safetensors", rename)
    convert(copy, tmp_path / "model")
    same = (model / "codec.safetensors").read_bytes()
    assert (tmp_path / "model" / "codec.safetensors").read_bytes() == same


def test_bfloat16_source(copy: Path, tmp_path: Path) -> None:
    path = copy / LM / "model.safetensors"
    tensors = {name: mx.array(x).astype(mx.bfloat16) for name, x in load_file(path).items()}
    mx.save_safetensors(str(path), tensors)
    convert(copy, tmp_path / "model", dtype="bfloat16")
    converted = load(tmp_path / "model" / "lm.safetensors")
    assert all(mx.array_equal(converted[n.removeprefix("model.")], x) for n, x in tensors.items())


# ---- other shapes


def keys_for(config: ModelConfig) -> dict[str, dict[str, list[int]]]:
    """Names and shapes of the checkpoint that `config` describes, from the runtime's modules."""
    keys: dict[str, dict[str, list[int]]] = {LM: {}, CODEC: {}, W2V: {}}
    for file, module in plan.skeletons(config).items():
        owners = dict(module.named_modules())
        for parameter, array in tree_flatten(module.parameters()):
            path, _, leaf = parameter.rpartition(".")
            folder, name = names.upstream_name(file, parameter)
            pointwise = "_project.weight" in name
            shape = list(layout.torch_shape(owners[path], leaf, array.shape, pointwise))
            if isinstance(owners[path], FoldedBatchNorm):
                for part in layout.batch_norm_inputs("shift"):
                    keys[folder][name.removesuffix(leaf) + part] = shape
            else:
                keys[folder][name] = shape
    files = {LM: "model.safetensors", CODEC: "model.safetensors", W2V: "pytorch_model.bin"}
    return {f"{folder}/{files[folder]}": shapes for folder, shapes in keys.items()}


ODD: dict[str, list[tuple[str, Any]]] = {
    "rates": [("decoder.rates", [5, 4]), ("decoder.kernel_sizes", [9, 6])],
    "resampling": [("encoder.sample_ratios", [2, 1]), ("prenet.sample_ratios", [2])],
    "odd levels": [("speaker_encoder.fsq_levels", [5, 3, 7]), ("speaker_encoder.token_num", 5)],
    "no projections": [("quantizer.codebook_dim", 64), ("speaker_encoder.latent_dim", 6)],
    "depth": [("prenet.vocos_num_layers", 1), ("encoder.vocos_num_layers", 5)],
    "speaker": [("speaker_encoder.ecapa_channels", 64), ("speaker_encoder.ecapa_features", 32)],
    "perceiver": [("speaker_encoder.perceiver_depth", 3), ("speaker_encoder.perceiver_heads", 2)],
}


@pytest.mark.parametrize("case", ODD)
def test_other_codecs(checkpoint: Path, tmp_path: Path, case: str) -> None:
    configs = tmp_path / "configs"
    ignore = shutil.ignore_patterns("*.safetensors", "*.bin", "tokenizer.json")
    shutil.copytree(checkpoint, configs, ignore=ignore)
    for setting, value in ODD[case]:
        path = configs / CODEC / "config.yaml"
        edit_config(path, "audio_tokenizer", *setting.split("."), value=value)
    keys = keys_for(read_configs(configs, "float32", None))
    convert(write_checkpoint(configs, keys, tmp_path / "source"), tmp_path / "model")
    loads(tmp_path / "model")


def test_untied_head(copy: Path, tmp_path: Path) -> None:
    def add_head(tensors: dict[str, np.ndarray]) -> None:
        tensors["lm_head.weight"] = random_tensor("lm_head.weight", (5888, 64))

    edit_weights(copy / LM / "model.safetensors", add_head)
    report = convert(copy, tmp_path / "tied")
    assert report.dropped["output head, which is the embedding"] == (1, 5888 * 64)
    edit_config(copy / LM / "config.json", "tie_word_embeddings", value=False)
    convert(copy, tmp_path / "untied", quantize=8)
    loads(tmp_path / "untied")
    head = load(tmp_path / "untied" / "lm.safetensors")
    assert head["lm_head.weight"].shape == (5888, 16)


def test_other_mix_of_hidden_states(copy: Path, tmp_path: Path) -> None:
    edit_config(copy / W2V / "config.json", "mix_layers", value=[2, 5])
    convert(copy, tmp_path / "model")
    loads(tmp_path / "model")
    layers = {
        n.split(".")[3]
        for n in load_file(tmp_path / "model" / "encoder.safetensors")
        if n.startswith("wav2vec2.encoder.layers.")
    }
    assert layers == set("01234")


# ---- what it refuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "float16 overflows"),
        ({"dtype": "int8"}, "float32 or bfloat16"),
        ({"quantize": 3}, "8 or 4 bits"),
    ],
)
def test_options(checkpoint: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(checkpoint, tmp_path / "model", **options)
    assert not list(tmp_path.iterdir())


def test_missing_tensors_are_named(copy: Path, tmp_path: Path) -> None:
    def remove(tensors: dict[str, np.ndarray]) -> None:
        del tensors["quantizer.codebook.weight"]
        del tensors["decoder.model.0.weight_g"]
        for layer in range(3):
            for part in ("weight", "bias"):
                del tensors[f"prenet.vocos_backbone.convnext.{layer}.pwconv1.{part}"]

    edit_weights(copy / CODEC / "model.safetensors", remove)
    with pytest.raises(ModelError) as caught:
        convert(copy, tmp_path / "model")
    assert "quantizer.codebook.weight" in str(caught.value)
    assert "and 3 more" in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_half_a_weight_norm(copy: Path, tmp_path: Path) -> None:
    edit_weights(
        copy / CODEC / "model.safetensors", lambda tensors: tensors.pop("decoder.model.0.weight_g")
    )
    with pytest.raises(ModelError, match=r"lacks .*: decoder\.model\.0\.weight_g"):
        convert(copy, tmp_path / "model")


def test_unexpected_tensor_is_named(copy: Path, tmp_path: Path) -> None:
    edit_weights(
        copy / LM / "model.safetensors",
        lambda tensors: tensors.update({"model.layers.3.norm": np.zeros(2, np.float32)}),
    )
    with pytest.raises(ModelError, match=r"no use for: model\.layers\.3\.norm"):
        convert(copy, tmp_path / "model")


@pytest.mark.parametrize(
    ("folder", "name", "shape", "expected"),
    [
        (LM, "model.norm.weight", (63,), "(64,)"),
        (CODEC, "decoder.model.0.weight_v", (64, 7, 64), "(64, 64, 7)"),
        (CODEC, "decoder.model.1.block.0.alpha", (64,), "(1, 64, 1)"),
        (CODEC, "quantizer.in_project.weight_v", (8, 64), "(8, 64, 1)"),
    ],
)
def test_misshapen_tensor_is_named(
    copy: Path, tmp_path: Path, folder: str, name: str, shape: tuple[int, ...], expected: str
) -> None:
    edit_weights(
        copy / folder / "model.safetensors",
        lambda tensors: tensors.update({name: np.zeros(shape, np.float32)}),
    )
    with pytest.raises(ModelError) as caught:
        convert(copy, tmp_path / "model")
    assert f"{name} has shape {shape} and should have {expected}" in str(caught.value)


def test_integers_instead_of_weights(copy: Path, tmp_path: Path) -> None:
    edit_weights(
        copy / LM / "model.safetensors",
        lambda tensors: tensors.update({"model.norm.weight": np.zeros(64, np.int32)}),
    )
    with pytest.raises(ModelError, match=r"model\.norm\.weight holds I32"):
        convert(copy, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


@pytest.mark.parametrize(
    ("file", "keys", "value", "message"),
    [
        ("config.yaml", ["sample_rate"], None, "lacks a setting: sample_rate"),
        ("BiCodec/config.yaml", ["audio_tokenizer"], None, "lacks a section: audio_tokenizer"),
        ("BiCodec/config.yaml", ["audio_tokenizer", "prenet"], None, "lacks a section: prenet"),
        ("BiCodec/config.yaml", ["audio_tokenizer", "decoder", "rates"], None, "rates"),
        ("BiCodec/config.yaml", ["audio_tokenizer", "decoder", "taste"], 1, "nothing reads: taste"),
        (
            "BiCodec/config.yaml",
            ["audio_tokenizer", "speaker_encoder", "fsq_num_quantizers"],
            2,
            "only 1 is supported",
        ),
        ("LLM/config.json", ["hidden_size"], None, "lacks a setting: hidden_size"),
        ("LLM/config.json", ["model_type"], "llama", "only 'qwen2' is supported"),
        ("LLM/config.json", ["rope_scaling"], {"factor": 2}, "rope_scaling"),
        ("LLM/config.json", ["hidden_size"], "wide", "impossible value"),
        ("LLM/config.json", ["vocab_size"], -1, "impossible value"),
        ("LLM/config.json", ["num_attention_heads"], 0, "impossible value"),
        (f"{W2V}/config.json", ["do_stable_layer_norm"], False, "only True is supported"),
        (f"{W2V}/config.json", ["num_hidden_layers"], 16, "more than 16 layers are needed"),
    ],
)
def test_settings(
    copy: Path, tmp_path: Path, file: str, keys: list[str], value: object, message: str
) -> None:
    edit_config(copy / file, *keys, value=value)
    with pytest.raises(ConfigError, match=message):
        convert(copy, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


@pytest.mark.parametrize(
    "file",
    [
        "config.yaml",
        "LLM/config.json",
        "LLM/model.safetensors",
        "LLM/tokenizer.json",
        "BiCodec/config.yaml",
        "BiCodec/model.safetensors",
        f"{W2V}/config.json",
        f"{W2V}/pytorch_model.bin",
    ],
)
def test_missing_and_truncated_files(copy: Path, tmp_path: Path, file: str) -> None:
    path = copy / file
    whole = path.read_bytes()
    for length in (len(whole) // 2, 3, 0):
        path.write_bytes(whole[:length])
        with pytest.raises((ModelError, ConfigError), match=str(path)):
            convert(copy, tmp_path / "model")
    path.unlink()
    with pytest.raises(ModelError, match=str(path.parent)):
        convert(copy, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


# ---- what it leaves behind


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_interrupted(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    append, calls = SafetensorsWriter.append, []

    def failing(self: SafetensorsWriter, name: str, tensor: mx.array) -> None:
        calls.append(name)
        if len(calls) == 100:
            raise error
        append(self, name, tensor)

    monkeypatch.setattr(SafetensorsWriter, "append", failing)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ModelError
    with pytest.raises(expected, match=r"^$|No space left"):
        convert(checkpoint, tmp_path / "model")
    assert not list(tmp_path.iterdir())
    convert(checkpoint, tmp_path / "model")
    loads(tmp_path / "model")


def test_killed(checkpoint: Path, tmp_path: Path) -> None:
    """SIGKILL leaves the unfinished folder; the next run starts anew."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from spark_mlx.convert import convert, converter\n"
        "converter.card = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    arguments = [sys.executable, "-c", program, str(checkpoint), str(tmp_path / "model")]
    assert subprocess.run(arguments, check=False).returncode < 0
    assert [name.startswith(".model.unfinished-") for name in leftovers(tmp_path)] == [True]
    assert not (tmp_path / "model").exists()
    convert(checkpoint, tmp_path / "model")
    assert leftovers(tmp_path) == []
    loads(tmp_path / "model")


def test_destination_in_use(checkpoint: Path, tmp_path: Path) -> None:
    destination = tmp_path / "model"
    destination.mkdir()
    convert(checkpoint, destination)  # an empty folder is no obstacle
    with pytest.raises(ModelError, match="--force"):
        convert(checkpoint, destination)
    convert(checkpoint, destination, dtype="bfloat16", overwrite=True)
    assert ModelConfig.load(destination).dtype == "bfloat16"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_folders_are_left_alone(checkpoint: Path, tmp_path: Path, overwrite: bool) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    for destination in (tmp_path, thesis):
        with pytest.raises(ModelError, match="not a model folder"):
            convert(checkpoint, destination, overwrite=overwrite)
    assert thesis.read_text() == "years of work"


def test_unwritable_destination(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot write"):
        convert(checkpoint, tmp_path / "file" / "model")


# ---- the writer


def test_writer(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    x = mx.arange(6, dtype=mx.float32).reshape(2, 3)
    tensors = {"a": x.T, "b": x.astype(mx.bfloat16), "c": mx.array(3, dtype=mx.int64)}
    specs = [TensorSpec(name, y.dtype, y.shape) for name, y in tensors.items()]
    with SafetensorsWriter(path, specs) as writer:
        for name, y in tensors.items():
            writer.append(name, y)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"format": "mlx"}
    loaded = load(path)
    for name, y in tensors.items():
        assert loaded[name].dtype == y.dtype
        assert mx.array_equal(loaded[name], y)


def test_writer_holds_to_its_specs(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    specs = [TensorSpec("a", mx.float32, (2,)), TensorSpec("b", mx.float32, (2,))]
    x = mx.zeros((2,))
    with (
        pytest.raises(ValueError, match="b was never written"),
        SafetensorsWriter(path, specs) as writer,
    ):
        writer.append("a", x)
    for name, y in (("b", x), ("a", mx.zeros((3,))), ("a", x.astype(mx.bfloat16))):
        with pytest.raises(ValueError, match="is due"), SafetensorsWriter(path, specs) as writer:
            writer.append(name, y)
    with pytest.raises(ValueError, match="twice"):
        SafetensorsWriter(path, [specs[0], specs[0]])


# ---- the command line


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "spark_mlx.convert", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_command(checkpoint: Path, tmp_path: Path) -> None:
    done = command(checkpoint, tmp_path / "model", "--quantize", 4, "--dtype", "bfloat16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "changed  19 weights quantised" in done.stdout
    config = ModelConfig.load(tmp_path / "model")
    assert (config.quantize, config.dtype) == (4, "bfloat16")


def test_command_fails_in_one_line(tmp_path: Path) -> None:
    done = command(tmp_path / "nothing", tmp_path / "model")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert command("SRC", "DST", "--dtype", "float16").returncode == 2
