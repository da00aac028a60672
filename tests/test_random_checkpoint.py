"""The random checkpoints follow their recipe, so that the stored outputs hold for them."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from random_checkpoint import REFERENCE
from spark_mlx.convert.pickles import read_records
from spark_mlx.convert.records import read_floats
from spark_mlx.diagnostics.random_tokenizer import filled_tokenizer
from spark_mlx.diagnostics.random_weights import random_tensor

# name, shape, the first two numbers and the sum of absolute values; computed from the recipe's
# text by other code.
FROZEN = [
    ("layer1.bn.running_var", (3,), [0.97447968, 0.60356241], 2.8326619),
    ("layer1.bn.running_mean", (3,), [-0.064204909, -0.019298602], 0.11205478),
    ("decoder.model.5.alpha", (1, 4, 1), [1.1058533, 1.090135], 4.3514235),
    ("quantizer.cluster_size", (5,), [0.79042667, 1.2112918], 7.1025786),
    ("decoder.model.0.weight_g", (4, 1, 1), [0.62997133, 0.77826416], 2.8732824),
    ("conv.parametrizations.weight.original0", (1, 1, 4), [0.6164723, 0.63017625], 2.5724763),
    ("encoder.encoder.convnext.0.gamma", (6,), [0.18629217, 0.27759835], 1.6465822),
    ("speaker_encoder.perceiver_sampler.norm.gamma", (6,), [1.0195628, 1.0175782], 5.8637463),
    ("prenet.linear.bias", (4,), [-0.032920662, -0.0078416374], 0.065330958),
    ("wav2vec2.masked_spec_embed", (4,), [-0.096277505, -0.1569346], 1.3863109),
    ("model.norm.weight", (4,), [1.0864521, 1.1387666], 4.2113107),
    ("speaker_encoder.perceiver_sampler.latents", (3, 4), [-0.11262658, 0.2319303], 5.2336842),
    ("quantizer.codebook.weight", (4, 8), [0.31945485, -0.098353453], 25.33956),
    ("model.embed_tokens.weight", (5, 4), [-0.060249049, 0.058165707], 0.74036608),
    ("lm_head.weight", (5, 4), [0.014318058, 0.016636843], 0.8272719),
    ("decoder.model.0.weight_v", (4, 3, 7), [-0.099353492, 0.12893729], 14.322791),
    ("prenet.linear.weight", (3, 5), [0.029423364, -0.67254138], 6.2920019),
]


@pytest.mark.parametrize(("name", "shape", "first", "total"), FROZEN)
def test_recipe(name: str, shape: tuple[int, ...], first: list[float], total: float) -> None:
    x = random_tensor(name, shape)
    assert x.dtype == np.float32
    assert x.shape == shape
    np.testing.assert_allclose(x.reshape(-1)[:2], first, rtol=1e-6)
    np.testing.assert_allclose(np.abs(x).sum(dtype=np.float64), total, rtol=1e-6)


def test_batch_counter_is_an_integer() -> None:
    x = random_tensor("layer1.bn.num_batches_tracked", ())
    assert x.dtype == np.int64
    assert x.shape == ()
    assert x == 0


def test_large_tensor_is_one_stream() -> None:
    name, shape = "model.embed_tokens.weight", (1100, 1000)
    random = np.random.RandomState(zlib.crc32(name.encode()))
    whole = random.standard_normal(shape).astype(np.float32) * np.float32(0.05)
    np.testing.assert_array_equal(random_tensor(name, shape), whole)


def test_published_token_ids() -> None:
    tokenizer = filled_tokenizer(first_added_id=151643, global_codes=4096, semantic_codes=8192)
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
    assert {name: tokenizer.token_to_id(f"<|{name}|>") for name in published} == published


def test_text_is_bytes_between_control_tokens() -> None:
    tokenizer = filled_tokenizer(first_added_id=256, global_codes=4, semantic_codes=4)
    text = "<|start_content|>é <|gender_1|>"
    assert tokenizer.encode(text).tokens == ["<|start_content|>", "Ã", "©", "Ġ", "<|gender_1|>"]


def test_tiny_checkpoint_holds_the_listed_tensors(checkpoint: Path) -> None:
    keys = json.loads((REFERENCE / "keys-tiny.json").read_text())
    for file, shapes in keys.items():
        if file.endswith(".safetensors"):
            with safe_open(checkpoint / file, framework="numpy") as weights:
                found = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
        else:
            assert zipfile.ZipFile(checkpoint / file).testzip() is None
            found = {n: list(record.shape) for n, record in read_records(checkpoint / file).items()}
        assert found == shapes
    assert (checkpoint / "config.yaml").read_text() == (
        REFERENCE / "config-tiny" / "config.yaml"
    ).read_text()


def test_pickle_holds_the_recipes_numbers(checkpoint: Path) -> None:
    path = checkpoint / "wav2vec2-large-xlsr-53" / "pytorch_model.bin"
    name = "wav2vec2.encoder.pos_conv_embed.conv.weight_v"
    record = read_records(path)[name]
    np.testing.assert_array_equal(
        read_floats(path, name, record), random_tensor(name, record.shape)
    )
