"""Writes a checkpoint of random weights in the layout of SparkAudio/Spark-TTS-0.5B.

It has the shapes and names of the published checkpoint and says nothing but noise, which is all
that tests need: the weights are a recipe (a tensor follows from its name), so the outputs of the
official code on the same weights can be compared without storing any of them.

    python examples/random_checkpoint.py tiny DEST      33 MB of small layers, within a second
    python examples/random_checkpoint.py full DEST      3.9 GB, the published shapes, half a minute

One tensor at a time is in memory. The wav2vec2 weights become a torch pickle, as published, but
without torch: the few opcodes are written by hand.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import mlx.core as mx
import numpy as np
import yaml
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from spark_mlx.convert.writer import SafetensorsWriter, TensorSpec

REFERENCE = Path(__file__).resolve().parents[1] / "tests" / "reference"

Shapes = Mapping[str, Sequence[int]]  # tensor name → shape


def random_checkpoint(size: Literal["tiny", "full"], destination: Path) -> Path:
    """Writes one of the two checkpoints that have reference outputs; gives back `destination`."""
    keys = json.loads((REFERENCE / f"keys-{size}.json").read_text())
    return write_checkpoint(REFERENCE / f"config-{size}", keys, destination)


def write_checkpoint(configs: Path, keys: Mapping[str, Shapes], destination: Path) -> Path:
    """Writes a checkpoint of any shape.

    Args:
        configs: folder with the published configuration files; copied as they stand.
        keys: for each weight file (`LLM/model.safetensors` …) its tensors' names and shapes.
        destination: folder to make or to write into.
    """
    shutil.copytree(configs, destination, dirs_exist_ok=True)
    for file, shapes in keys.items():
        write = _write_safetensors if file.endswith(".safetensors") else _write_torch_pickle
        write(destination / file, shapes)
    language_model = json.loads((configs / "LLM" / "config.json").read_text())
    codec = yaml.safe_load((configs / "BiCodec" / "config.yaml").read_text())["audio_tokenizer"]
    tokenizer = make_tokenizer(
        first_added_id=language_model["bos_token_id"],
        global_codes=math.prod(codec["speaker_encoder"]["fsq_levels"]),
        semantic_codes=codec["quantizer"]["codebook_size"],
    )
    tokenizer.save(str(destination / "LLM" / "tokenizer.json"))
    return destination


def random_tensor(name: str, shape: Sequence[int]) -> np.ndarray:
    """The tensor that the recipe gives to a name: float32, or int64 for a batch counter."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    x = _normal(np.random.RandomState(zlib.crc32(name.encode())), shape)
    leaf = name.rpartition(".")[2]
    match leaf:
        case "running_var":
            return 0.5 + 0.5 * abs(x)
        case "running_mean":
            return 0.1 * x
        case "alpha":
            return 1 + 0.2 * abs(x)
        case "cluster_size":
            return abs(x)
        case "weight_g" | "original0":
            return 0.6 + 0.1 * abs(x)
        case "gamma" if len(shape) == 1 and "convnext" in name:
            return 0.3 + 0.05 * x
        case "gamma":
            return 1 + 0.1 * x
        case "bias":
            return 0.02 * x
        case "masked_spec_embed":
            return x
        case "weight" if len(shape) == 1:
            return 1 + 0.1 * x
        case "latents":
            return 0.5 * x
    if "codebook" in name:
        return x
    if "embed_tokens" in name or "lm_head" in name:
        x *= 0.05
        return x
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    x *= np.float32(1 / math.sqrt(fan_in))
    return x


def _normal(random: np.random.RandomState, shape: Sequence[int]) -> np.ndarray:
    """Standard normal float32 numbers, drawn in pieces: a float64 embedding would be 1.2 GB."""
    flat = np.empty(math.prod(shape), dtype=np.float32)
    for start in range(0, flat.size, 1 << 20):
        piece = flat[start : start + (1 << 20)]
        piece[:] = random.standard_normal(piece.size)
    return flat.reshape(shape)


def make_tokenizer(first_added_id: int, global_codes: int, semantic_codes: int) -> Tokenizer:
    """A byte-level tokenizer without merges, with the control tokens of Spark-TTS.

    Args:
        first_added_id: id of `<|endoftext|>`; the vocabulary is filled up to it.
        global_codes: how many `<|bicodec_global_…|>` there are.
        semantic_codes: how many `<|bicodec_semantic_…|>` there are.
    """
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    filler = [f"unused{i}" for i in range(len(characters), first_added_id)]
    vocabulary = {entry: i for i, entry in enumerate(characters + filler)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in _SPECIAL.split()])
    ranges = {"bicodec_global": global_codes, "bicodec_semantic": semantic_codes, **_RANGES}
    plain = [f"<|{name}_{i}|>" for name, count in ranges.items() for i in range(count)]
    plain += [f"<|task_{name}|>" for name in _TASKS.split()]
    plain += [f"<|{edge}_{name}|>" for edge in ("start", "end") for name in _SECTIONS.split()]
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    return tokenizer


_SPECIAL = """
    <|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|>
    <|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|>
    <|image_pad|> <|video_pad|> <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|>
    <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
"""
_RANGES = {
    "pitch_value": 1001,
    "pitch_var_value": 11,
    "pitch_label": 5,
    "pitch_var_label": 5,
    "speed_value": 11,
    "speed_label": 5,
    "loudness_value": 31,
    "loudness_label": 5,
    "age": 5,
    "gender": 3,
    "emotion": 101,
}
_TASKS = "vc tts asr s2s t2s cap understand controllable_tts prompt_tts edit"
_SECTIONS = "content style_label style_prompt acoustic_token global_token semantic_token"


def _write_safetensors(path: Path, shapes: Shapes) -> None:
    def spec(name: str, shape: Sequence[int]) -> TensorSpec:
        counter = name.endswith("num_batches_tracked")
        return TensorSpec(name, mx.int64 if counter else mx.float32, tuple(shape))

    with SafetensorsWriter(path, [spec(*item) for item in shapes.items()]) as writer:
        for name, shape in shapes.items():
            writer.append(name, random_tensor(name, shape))


def _write_torch_pickle(path: Path, shapes: Shapes) -> None:
    """The zip that torch.save makes of a dictionary of float32 tensors, one storage for each."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"".join(_pickled_state(shapes)))
        for i, (name, shape) in enumerate(shapes.items()):
            archive.writestr(f"archive/data/{i}", random_tensor(name, shape).data)
        archive.writestr("archive/version", "3\n")


def _pickled_state(shapes: Shapes) -> Iterator[bytes]:
    """Opcodes of OrderedDict(name=_rebuild_tensor_v2(storage, 0, shape, strides, False, …))."""
    empty_dict = b"ccollections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    yield pickle.PROTO + b"\x02" + empty_dict + pickle.MARK
    for i, (name, shape) in enumerate(shapes.items()):
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        yield _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + pickle.MARK
        yield pickle.MARK + _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(i))
        yield _text("cpu") + _int(math.prod(shape)) + pickle.TUPLE + pickle.BINPERSID
        yield _int(0) + _ints(shape) + _ints(strides) + pickle.NEWFALSE + empty_dict
        yield pickle.TUPLE + pickle.REDUCE
    yield pickle.SETITEMS + pickle.STOP


def _text(value: str) -> bytes:
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _int(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _ints(values: Sequence[int]) -> bytes:
    return pickle.MARK + b"".join(map(_int, values)) + pickle.TUPLE


def main() -> None:
    """The command line: SIZE and DEST."""
    parser = argparse.ArgumentParser(description="Writes a checkpoint of random weights.")
    parser.add_argument("size", choices=["tiny", "full"])
    parser.add_argument("destination", type=Path, metavar="DEST", help="folder to write")
    arguments = parser.parse_args()
    print(random_checkpoint(arguments.size, arguments.destination))


if __name__ == "__main__":
    main()
