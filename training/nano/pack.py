"""Makes of a model folder what the package ships: narrow weights, and preset voices.

    python training/nano/pack.py build/nano/model spark_mlx/nano voices
    python training/nano/pack.py build/nano/model build/nano/model-8 --quantize 8

The presets are clones of voices made of the teacher's, saying a sentence of no corpus; each one's
metadata says how. The second call makes no voices, but a model that shows what quantisation costs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import mlx.core as mx

import spark_mlx
from sizes import TEXTS
from voices import Style

SENTENCE = "A quiet morning brings the boats back to the harbor, one after another."
PRESETS = {
    "ada": Style(),
    "clara": Style(1.05, 1.06),
    "iris": Style(0.95, 0.95),
    "nora": Style(1.02, 1.0),
    "bruno": Style(0.9, 0.82),
    "felix": Style(1.0, 0.86),
    "hugo": Style(0.93, 0.84),
    "oscar": Style(0.88, 0.8),
}
# Parts of the codec that turn sound into tokens, with the encoder. They are small, and in bfloat16
# a recording would get other tokens.
LISTENING = ("speaker_encoder.", "quantizer.")


def pack(checkpoint: Path, model: Path, out: Path, bits: int | None) -> None:
    """Writes the folder `out`: as converted, but what speaks in bfloat16.

    Args:
        checkpoint: in the published layout, which `model` was converted from.
        bits: of the language model's matrices, 8 or 4.
    """
    from spark_mlx.convert import convert

    card = out / "card.md"
    kept = card.read_bytes() if card.exists() else None
    convert(checkpoint, out, dtype="bfloat16", quantize=bits, overwrite=True)
    (out / "README.md").unlink()  # the converter's card speaks of the published weights
    if kept is not None:
        card.write_bytes(kept)
    arrays = mx.load(str(out / "codec.safetensors"))
    assert isinstance(arrays, dict)
    narrow = {
        name: array if name.startswith(LISTENING) else array.astype(mx.bfloat16)
        for name, array in arrays.items()
    }
    mx.eval(narrow)
    mx.save_safetensors(str(out / "codec.safetensors"), narrow)
    settings = json.loads((out / "config.json").read_text())
    exported = json.loads((model / "config.json").read_text())
    settings |= {name: exported[name] for name in TEXTS}
    (out / "config.json").write_text(json.dumps(settings, indent=2) + "\n")


def presets(model: Path, out: Path) -> None:
    """Writes the preset voices of the packed `model` as .npz files into `out`."""
    from render import trimmed
    from teacher import Teacher

    tts, teacher = spark_mlx.load(model), Teacher()
    phonemes = teacher.phonemes(SENTENCE)
    for name, style in PRESETS.items():
        said = trimmed(teacher.speak(phonemes, style, 11))
        assert said is not None
        cloned = tts.clone(
            (said.samples, 16_000),
            name=name,
            consent="a synthetic voice, made of the teacher's by another pitch and throat",
        )
        source = f"hibari-tts, pitch {style.pitch}, throat {style.throat}"
        dataclasses.replace(cloned, source=source).save(out / f"{name}.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description="Packs nano for the package.")
    parser.add_argument("model", type=Path, help="the model folder of export.py")
    parser.add_argument("out", type=Path, help="the folder to ship")
    parser.add_argument("voices", type=Path, nargs="?", help="the folder of the preset voices")
    parser.add_argument("--quantize", type=int, choices=(8, 4), help="bits (default: bfloat16)")
    given = parser.parse_args()
    checkpoint = given.model.with_name(given.model.name + "-checkpoint")
    pack(checkpoint, given.model, given.out, given.quantize)
    if given.voices is not None:
        presets(given.out, given.voices)


if __name__ == "__main__":
    main()
