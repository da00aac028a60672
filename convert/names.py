"""Which tensor of a checkpoint a parameter comes from, and which tensors nothing comes from."""

from __future__ import annotations

import re
from typing import NamedTuple

from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.convert.configs import CODEC_FOLDER, LM_FOLDER, WAV2VEC2_FOLDER


class Rule(NamedTuple):
    """Parameters whose name begins with `prefix` are `upstream` + the rest, in `folder`'s file."""

    prefix: str
    folder: str
    upstream: str


# For each file of a model folder; the first rule that fits counts.
RULES: dict[str, tuple[Rule, ...]] = {
    "lm.safetensors": (
        Rule("lm_head.", LM_FOLDER, "lm_head."),
        Rule("", LM_FOLDER, "model."),
    ),
    "codec.safetensors": (
        Rule("wave_generator.", CODEC_FOLDER, "decoder."),
        Rule("", CODEC_FOLDER, ""),
    ),
    "encoder.safetensors": (
        Rule("wav2vec2.", WAV2VEC2_FOLDER, "wav2vec2."),
        Rule("in_project.", CODEC_FOLDER, "quantizer.in_project."),
        Rule("encoder.", CODEC_FOLDER, "encoder."),
    ),
}

# What inference never reads: folder → (pattern of a tensor's whole name, what it is).
_UNUSED: dict[str, tuple[tuple[str, str], ...]] = {
    LM_FOLDER: ((r".*\.rotary_emb\.inv_freq", "rotary frequencies"),),
    CODEC_FOLDER: (
        (r"postnet\..*", "postnet, a target of training"),
        (r"speaker_encoder\.speaker_encoder\.(pool|bn|linear)\..*", "x-vector"),
        (r"quantizer\.cluster_size|.*\.num_batches_tracked", "counters of training"),
        (r"mel_transformer\..*", "mel filters, computed instead"),
    ),
    WAV2VEC2_FOLDER: (
        (r"(quantizer|project_hid|project_q)\..*", "wav2vec2's pre-training heads"),
        (r"wav2vec2\.masked_spec_embed", "wav2vec2's pre-training heads"),
        (r"wav2vec2\.encoder\.layer_norm\..*", "wav2vec2's layers above the last one read"),
    ),
}


def upstream_name(file: str, parameter: str) -> tuple[str, str]:
    """A parameter of one of our files → the checkpoint's folder and the tensor's name there."""
    for rule in RULES[file]:
        if parameter.startswith(rule.prefix):
            return rule.folder, rule.upstream + parameter.removeprefix(rule.prefix)
    raise KeyError(parameter)


def why_unused(folder: str, name: str, config: ModelConfig) -> str | None:
    """What a tensor that no parameter comes from is for; None when nobody knows it."""
    for pattern, purpose in _UNUSED[folder]:
        if re.fullmatch(pattern, name):
            return purpose
    if folder == LM_FOLDER and name == "lm_head.weight" and config.lm.tie_word_embeddings:
        return "output head, which is the embedding"
    layer = re.match(r"wav2vec2\.encoder\.layers\.(\d+)\.", name)
    if folder == WAV2VEC2_FOLDER and layer and int(layer[1]) >= max(config.wav2vec2.mix_layers):
        return "wav2vec2's layers above the last one read"
    return None
