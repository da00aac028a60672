"""Makes of a trained model folder what the package ships: narrow weights, and preset voices.

    python examples/nano/pack.py build/nano/model spark_mlx/nano voices
    python examples/nano/pack.py build/nano/model build/nano/model-8 --quantize 8

The presets are clones of espeak-ng's own voices saying a sentence of no corpus; each one's metadata
has the settings it was spoken with. The second call makes no voices, but a model that shows what
quantisation costs.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

import checkpoints
import spark_mlx
from render import Job, speak
from spark_mlx.codec.codec import CODEC_FILE, ENCODER_FILE
from spark_mlx.lm import Qwen2
from spark_mlx.model_config import ModelConfig
from spark_mlx.paths import write_whole
from spark_mlx.pipeline import LM_FILE
from spark_mlx.precision import quantize
from spark_mlx.tokens import TOKENIZER_FILE

SENTENCE = "A quiet morning brings the boats back to the harbour, one after another."
# Name → gender, voice of espeak-ng, pitch and speed settings.
PRESETS = {
    "ada": ("female", "en-us+f2", 50, 165),
    "clara": ("female", "en+f3", 65, 175),
    "iris": ("female", "en-us+f5", 35, 160),
    "nora": ("female", "en+f1", 55, 200),
    "bruno": ("male", "en-us+m1", 30, 160),
    "felix": ("male", "en+m3", 50, 175),
    "hugo": ("male", "en-us+m7", 40, 190),
    "oscar": ("male", "en+m2", 20, 150),
}

# Parts of the codec that turn sound into tokens, with the encoder. They are small, and in bfloat16
# a recording would get other tokens.
LISTENING = ("speaker_encoder.", "quantizer.")


def narrow(array: mx.array) -> mx.array:
    return array.astype(mx.bfloat16)


def pack(model: Path, out: Path, bits: int | None) -> None:
    """Writes the folder `out` with the weights of `model`, those that speak in bfloat16.

    Args:
        bits: of the language model's matrices, 8 or 4; its other weights are float32 then.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = ModelConfig.load(model)
    for name in (LM_FILE, CODEC_FILE, ENCODER_FILE):
        arrays = mx.load(str(model / name))
        assert isinstance(arrays, dict)
        if name == LM_FILE and bits is not None:
            lm = Qwen2(config.lm)
            lm.load_weights(list(arrays.items()))
            quantize(lm, bits)
            packed = dict(tree_flatten(lm.parameters()))
        else:
            packed = {
                key: array if name == ENCODER_FILE or key.startswith(LISTENING) else narrow(array)
                for key, array in arrays.items()
            }
        mx.save_safetensors(str(out / name), packed)
    dtype = "bfloat16" if bits is None else "float32"
    checkpoints.save_config(out, dataclasses.replace(config, dtype=dtype, quantize=bits))
    write_whole(out / TOKENIZER_FILE, (model / TOKENIZER_FILE).read_bytes())


def presets(model: Path, out: Path) -> None:
    """Writes the preset voices of the packed `model` as .npz files into `out`."""
    tts = spark_mlx.load(model)
    for name, (gender, voice, pitch, speed) in PRESETS.items():
        clip = speak(Job(name, SENTENCE, gender, voice, pitch, speed))
        assert clip is not None
        cloned = tts.clone(
            (clip[0].astype(np.float32) / 32768, 16_000),
            name=name,
            consent="espeak-ng's voices are free software and belong to no person",
        )
        source = f"espeak-ng -v {voice} -p {pitch} -s {speed}"
        dataclasses.replace(cloned, source=source).save(out / f"{name}.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description="Packs nano for the package.")
    parser.add_argument("model", type=Path, help="the trained model folder")
    parser.add_argument("out", type=Path, help="the folder to ship")
    parser.add_argument("voices", type=Path, nargs="?", help="the folder of the preset voices")
    parser.add_argument("--quantize", type=int, choices=(8, 4), help="bits (default: bfloat16)")
    given = parser.parse_args()
    pack(given.model, given.out, given.quantize)
    if given.voices is not None:
        presets(given.out, given.voices)


if __name__ == "__main__":
    main()
