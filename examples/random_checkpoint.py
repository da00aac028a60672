"""Write a checkpoint of random weights in the layout of SparkAudio/Spark-TTS-0.5B.

It has the names and shapes of the published checkpoint and generates noise. A tensor follows from
its name by the recipe of `spark_mlx.diagnostics.random_weights`, so outputs of the official code on
the same weights can be compared without storing any weights.

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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import mlx.core as mx
import yaml

from spark_mlx.convert.writer import SafetensorsWriter, TensorSpec
from spark_mlx.diagnostics.random_tokenizer import filled_tokenizer
from spark_mlx.diagnostics.random_weights import random_tensor

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
    tokenizer = filled_tokenizer(
        first_added_id=language_model["bos_token_id"],
        global_codes=math.prod(codec["speaker_encoder"]["fsq_levels"]),
        semantic_codes=codec["quantizer"]["codebook_size"],
    )
    tokenizer.save(str(destination / "LLM" / "tokenizer.json"))
    return destination


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
