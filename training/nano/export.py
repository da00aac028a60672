"""Trained parts → a checkpoint in the published layout → a model folder.

    python training/nano/export.py build/nano build/nano/model

Three folders of safetensors with the published names and configuration files, which the ordinary
converter reads; so what ships has gone the way that the published model goes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from torch import Tensor

import loop
from sizes import NANO, TEXTS, Sizes
from vocabulary import Vocabulary

State = Mapping[str, Tensor]


def write(folder: Path, sizes: Sizes, speaking: State, listener: State, lm: State) -> None:
    """Writes a checkpoint.

    Args:
        speaking: the state of `speaking_model.SpeakingModel`.
        listener: of `listener.Listener`.
        lm: of `qwen.Qwen2`.
    """
    codec = {
        name.replace("wave_generator.", "decoder.", 1): value
        for name, value in speaking.items()
        if not name.startswith(("quantizer.counts", "quantizer.sums"))
        and not name.endswith("num_batches_tracked")
    }
    ears = {}
    for name, value in listener.items():
        if name.startswith("wav2vec2."):
            ears[name] = value
        else:
            codec[name.replace("in_project.", "quantizer.in_project.", 1)] = value
    words = {f"model.{name}": value for name, value in lm.items()}
    vocabulary = Vocabulary(sizes)
    for part, tensors, name, settings in (
        ("LLM", words, "config.json", _lm(sizes, vocabulary.size)),
        ("BiCodec", codec, "config.yaml", {"audio_tokenizer": _codec(sizes)}),
        ("wav2vec2-large-xlsr-53", ears, "config.json", _ears(sizes)),
    ):
        (folder / part).mkdir(parents=True, exist_ok=True)
        plain = {key: value.detach().cpu().float().contiguous() for key, value in tensors.items()}
        save_file(plain, folder / part / "model.safetensors")
        text = yaml.safe_dump(settings) if name.endswith("yaml") else json.dumps(settings, indent=2)
        (folder / part / name).write_text(text)
    (folder / "LLM" / "tokenizer.json").write_text(vocabulary.definition())
    general = {
        "sample_rate": sizes.sample_rate,
        "ref_segment_duration": sizes.reference_seconds,
        "volume_normalize": True,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(general))


def _lm(sizes: Sizes, vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": "qwen2",
        "vocab_size": vocabulary,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        **dataclasses.asdict(sizes.lm),
    }


def _ears(sizes: Sizes) -> dict[str, Any]:
    own = dataclasses.asdict(sizes.listener)
    layers = own.pop("layers")
    return {
        "model_type": "wav2vec2",
        "do_stable_layer_norm": True,
        "feat_extract_norm": "layer",
        "conv_bias": True,
        # One more than there are: the last is never read, and so it need not be there.
        "num_hidden_layers": layers + 1,
        "mix_layers": [layers],
        **{key: value for key, value in own.items() if not key.startswith("vocos")},
    }


def _codec(sizes: Sizes) -> dict[str, Any]:
    ears, mouth = sizes.listener, sizes.speaking
    return {
        "mel_params": {
            "sample_rate": sizes.sample_rate,
            "n_fft": 1024,
            "win_length": 640,
            "hop_length": sizes.hop,
            "mel_fmin": 10,
            "mel_fmax": None,
            "num_mels": sizes.voice.input_dim,
        },
        "speaker_encoder": {
            **dataclasses.asdict(sizes.voice),
            "fsq_levels": list(sizes.voice.fsq_levels),
        },
        "quantizer": {
            "input_dim": sizes.width,
            "codebook_size": sizes.codebook_size,
            "codebook_dim": sizes.codebook_dim,
        },
        "prenet": {
            "input_channels": sizes.width,
            "vocos_dim": mouth.vocos_dim,
            "vocos_intermediate_dim": mouth.vocos_intermediate_dim,
            "vocos_num_layers": mouth.vocos_num_layers,
            "out_channels": mouth.out_channels,
            "condition_dim": sizes.voice.out_dim,
            "sample_ratios": [1],
        },
        "decoder": {
            "input_channel": mouth.out_channels,
            "channels": mouth.channels,
            "rates": list(mouth.rates),
            "kernel_sizes": list(mouth.kernel_sizes),
        },
        "encoder": {
            "input_channels": ears.hidden_size,
            "vocos_dim": ears.vocos_dim,
            "vocos_intermediate_dim": ears.vocos_intermediate_dim,
            "vocos_num_layers": ears.vocos_num_layers,
            "out_channels": sizes.width,
            "sample_ratios": [1],
        },
    }


def convert(checkpoint: Path, model: Path) -> None:
    """Convert a checkpoint, and add to its configuration which texts this model speaks."""
    from spark_mlx.convert import convert as run

    run(checkpoint, model, overwrite=True)
    path = model / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | TEXTS, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Exports nano as a model folder.")
    parser.add_argument("build", type=Path, help="the folder that holds what was trained")
    parser.add_argument("model", type=Path, help="the model folder to write")
    given = parser.parse_args()
    decoder = loop.load(given.build / "decoder" / "decoder.pt", "cpu")["mean"]
    ears = loop.load(given.build / "listener" / "listener.pt", "cpu")["model"]
    listener = {
        name.removeprefix("listener."): value
        for name, value in ears.items()
        if name.startswith("listener.")
    }
    lm = loop.load(given.build / "lm" / "lm.pt", "cpu")["mean"]
    checkpoint = given.model.with_name(given.model.name + "-checkpoint")
    write(checkpoint, NANO, decoder, listener, lm)
    convert(checkpoint, given.model)


if __name__ == "__main__":
    main()
