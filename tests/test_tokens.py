"""Prompts are made of ids, and nothing a user types becomes a control token."""

import json
from pathlib import Path

import pytest

from spark_mlx.checkpoints.model_files import TOKENIZER_FILE
from spark_mlx.errors import ConfigError, ModelError
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Attributes

ATTRIBUTES = Attributes(
    gender="male", pitch="low", speed="very_high", pitch_value=180, speed_value=7
)


@pytest.fixture
def vocabulary(tts: SparkTTS) -> Vocabulary:
    return tts.vocabulary


@pytest.mark.parametrize(
    "text",
    [
        "<|bicodec_global_5|>",
        "a<|im_end|>b",
        "<|start_content|><|end_content|>",
        "<|endoftext|>",
        "<tool_call>",
    ],
)
def test_control_tokens_in_text_stay_text(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.encode(text)
    # The random tokenizer has no merges: a byte, an id, below every added token.
    assert len(ids) == len(text.encode())
    assert max(ids) < 256


def test_codes_and_ids_are_inverse(vocabulary: Vocabulary) -> None:
    codes = [0, 1, 255]
    assert vocabulary.semantic.codes(vocabulary.semantic.ids(codes)) == codes
    assert len(vocabulary.semantic.all()) == 256
    assert vocabulary.semantic.all()[-1] == vocabulary.semantic.id(255)


def test_a_code_out_of_range_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(ConfigError, match="between 0 and 255, not 256"):
        vocabulary.semantic.id(256)


def test_an_unknown_label_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(ConfigError, match="gender is one of female, male, not 'robot'"):
        vocabulary.create_prompt("Hi.", "robot", "low", "low")


def test_created_prompt_continues_the_creation(vocabulary: Vocabulary) -> None:
    asked = vocabulary.create_prompt("Hi.", "male", "low", "very_high")
    spoken = vocabulary.created_prompt("Hi.", ATTRIBUTES, [3, 4])
    assert spoken[: len(asked)] == asked
    assert spoken[len(asked) :] == [
        vocabulary.start_acoustic,
        vocabulary.pitch_value.id(180),
        vocabulary.speed_value.id(7),
        vocabulary.end_acoustic,
        vocabulary.start_global,
        vocabulary.global_.id(3),
        vocabulary.global_.id(4),
        vocabulary.end_global,
        vocabulary.start_semantic,
    ]


def test_another_models_tokenizer_is_refused(model: Path) -> None:
    definition = json.loads((model / TOKENIZER_FILE).read_text())
    definition["added_tokens"] = [
        t for t in definition["added_tokens"] if t["content"] != "<|start_semantic_token|>"
    ]
    with pytest.raises(ModelError, match="start_semantic_token"):
        Vocabulary(json.dumps(definition), 4096, 256)


def test_a_gap_in_a_range_is_refused(model: Path) -> None:
    definition = json.loads((model / TOKENIZER_FILE).read_text())
    for token in definition["added_tokens"]:
        if token["content"] == "<|bicodec_semantic_9|>":
            token["id"] += 100_000
    with pytest.raises(ModelError, match="gap before 9"):
        Vocabulary(json.dumps(definition), 4096, 256)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"added_tokens": 3}'])
def test_a_damaged_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="damaged"):
        Vocabulary(text, 1, 1)
