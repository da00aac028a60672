"""The configuration files of a checkpoint → the one configuration of a model folder.

The only place where YAML is read. Of transformers' two JSON files only what inference needs is
taken; of the codec's YAML every setting is either taken or known to be of no use.

Source: the files themselves, and the defaults of the official classes they are passed to.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.errors import ConfigError, ModelError
from spark_mlx.model.config import Config, shown
from spark_mlx.model.qwen2 import LMConfig
from spark_mlx.model.wav2vec2 import Wav2Vec2Config
from spark_mlx.version import FORMAT_VERSION

LM_FOLDER = "LLM"
CODEC_FOLDER = "BiCodec"
WAV2VEC2_FOLDER = "wav2vec2-large-xlsr-53"

# Constants in `BiCodecTokenizer.extract_wav2vec2_features`; no configuration file names them.
MIX_LAYERS = (11, 14, 16)

Settings = dict[str, Any]

_MAX_BYTES = 1 << 20  # of a file

# Sections of BiCodec/config.yaml: our name, what the official classes assume when a setting is
# missing, and the settings that only training reads.
_SECTIONS: dict[str, tuple[str, Settings, set[str]]] = {
    "mel_params": ("mel", {}, set()),
    "speaker_encoder": ("speaker_encoder", {}, {"fsq_num_quantizers"}),
    "quantizer": (
        "quantizer",
        {},
        {
            "commitment",
            "codebook_loss_weight",
            "decay",
            "momentum",
            "threshold_ema_dead_code",
            "use_l2_normlize",
        },
    ),
    "prenet": ("prenet", {"sample_ratios": [1, 1], "use_tanh_at_final": False}, set()),
    "decoder": ("wave_generator", {}, set()),
    "encoder": ("encoder", {"sample_ratios": [1, 1]}, set()),
}


def read_configs(checkpoint: Path, dtype: str, quantize: int | None) -> ModelConfig:
    """Read the configuration of the model that `checkpoint` becomes, with empty fingerprints.

    Raises:
        ModelError: a file is missing or damaged.
        ConfigError: a setting is missing, unknown, or asks for what this package cannot compute.
    """
    general = _read(checkpoint / "config.yaml", yaml.safe_load)
    needed = ("sample_rate", "ref_segment_duration", "volume_normalize")
    if missing := [name for name in needed if name not in general]:
        raise ConfigError(f"{checkpoint / 'config.yaml'} lacks a setting: {', '.join(missing)}")
    data = {
        "format_version": FORMAT_VERSION,
        "fingerprint": {"lm": "", "codec": "", "wav2vec2": ""},
        "dtype": dtype,
        "quantize": quantize,
        "sample_rate": general["sample_rate"],
        "reference_seconds": general["ref_segment_duration"],
        "level_reference": general["volume_normalize"],
        "lm": _lm(checkpoint / LM_FOLDER / "config.json"),
        "wav2vec2": _wav2vec2(checkpoint / WAV2VEC2_FOLDER / "config.json"),
        **_codec(checkpoint / CODEC_FOLDER / "config.yaml"),
    }
    return ModelConfig.from_dict(data, f"{checkpoint}")


def _codec(path: Path) -> Settings:
    """The sections of the codec's YAML under our names."""
    tree = _read(path, yaml.safe_load).get("audio_tokenizer")
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{path} lacks a section: audio_tokenizer")
    sections = {}
    for name, (our_name, defaults, unused) in _SECTIONS.items():
        section = tree.get(name)
        if not isinstance(section, Mapping):
            raise ConfigError(f"{path} lacks a section: {name}")
        sections[our_name] = {
            key: value for key, value in {**defaults, **section}.items() if key not in unused
        }
    _require(path, tree["speaker_encoder"], {"fsq_num_quantizers": (1, 1)})
    return sections


def _lm(path: Path) -> Settings:
    settings = _read(path, json.loads)
    # transformers 5 keeps the rotary settings in a table of their own.
    rope = settings.get("rope_parameters") or {}
    settings = {"tie_word_embeddings": False, **rope, **settings}
    head_dim = settings.get("hidden_size", 0) // max(1, settings.get("num_attention_heads", 1))
    _require(
        path,
        settings,
        {
            "model_type": ("qwen2", "qwen2"),
            "hidden_act": ("silu", "silu"),
            "rope_type": ("default", "default"),
            "rope_scaling": (None, None),
            "use_sliding_window": (False, False),
            "head_dim": (head_dim, head_dim),
        },
    )
    return _taken(settings, LMConfig)


def _wav2vec2(path: Path) -> Settings:
    settings = _read(path, json.loads)
    # Defaults of transformers.
    defaults = {
        "layer_norm_eps": 1e-5,
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
        "mix_layers": list(MIX_LAYERS),
    }
    settings = {**defaults, **settings}
    _require(
        path,
        settings,
        {
            "model_type": ("wav2vec2", "wav2vec2"),
            "do_stable_layer_norm": (True, False),
            "feat_extract_norm": ("layer", "group"),
            "feat_extract_activation": ("gelu", "gelu"),
            "hidden_act": ("gelu", "gelu"),
            "conv_bias": (True, False),
        },
    )
    depth = settings.get("num_hidden_layers", 0)
    if max(settings["mix_layers"]) >= depth:
        # The last hidden state has passed a norm that the others have not.
        raise ConfigError(
            f"{path}: the features are hidden states {shown(settings['mix_layers'])}, "
            f"so more than {max(settings['mix_layers'])} layers are needed, not {shown(depth)}"
        )
    return _taken(settings, Wav2Vec2Config)


def _taken(settings: Settings, config: type[Config]) -> Settings:
    """Keep the settings that the configuration has a field for."""
    names = {field.name for field in dataclasses.fields(config)}
    return {key: value for key, value in settings.items() if key in names}


def _require(path: Path, settings: Mapping[str, Any], table: dict[str, tuple[Any, Any]]) -> None:
    """Refuse variants of the architecture: name → (the only value known here, the default)."""
    for name, (known, default) in table.items():
        value = settings.get(name, default)
        if value != known:
            raise ConfigError(
                f"{path} sets {name} to {shown(value)}, and only {known!r} is supported here"
            )


def _read(path: Path, parse: Callable[[str], Any]) -> Settings:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ModelError(f"{path} is too long for a configuration; copy or download it again")
        settings = parse(data.decode())
    except FileNotFoundError:
        raise ModelError(
            f"{path} is missing: a checkpoint in the layout of SparkAudio/Spark-TTS-0.5B is needed"
        ) from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is damaged ({reason}); copy or download it again") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} should hold a table of settings")
    return settings
