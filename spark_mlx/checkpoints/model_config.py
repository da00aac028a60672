"""The configuration of a whole model, as a model folder's config.json holds it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_mlx.checkpoints.config_checks import check_config
from spark_mlx.checkpoints.model_files import CONFIG_FILE
from spark_mlx.errors import ConfigError, ModelError
from spark_mlx.model.bicodec.bicodec import BiCodecConfig
from spark_mlx.model.bicodec.feature_encoder import EncoderConfig
from spark_mlx.model.bicodec.prenet import PrenetConfig
from spark_mlx.model.bicodec.quantizers import QuantizerConfig
from spark_mlx.model.bicodec.speaker_encoder import SpeakerConfig
from spark_mlx.model.bicodec.wave_generator import WaveGeneratorConfig
from spark_mlx.model.config import Config, shown
from spark_mlx.model.mel import MelConfig
from spark_mlx.model.qwen2 import LMConfig
from spark_mlx.model.wav2vec2 import Wav2Vec2Config
from spark_mlx.version import FORMAT_VERSION

_MAX_BYTES = 1 << 20  # of config.json; what is cut off is no JSON


@dataclasses.dataclass(frozen=True)
class Fingerprints(Config):
    """SHA-256 of the weight files a model was converted from; voices belong to the codec's."""

    lm: str
    codec: str
    wav2vec2: str


@dataclasses.dataclass(frozen=True)
class ModelConfig(Config):
    """
    Attributes:
        dtype: the type the language model is stored in, "float32" or "bfloat16".
        quantize: bits of its quantised layers, 8 or 4; None when they are not quantised.
        sample_rate: Hz, of everything the codec hears and says.
        reference_seconds: how much of a clip the speaker encoder hears.
        level_reference: whether a clip is brought to a common loudness first.
        longest_piece: characters of a text that are spoken at once; longer ones are cut.
        single_sentences: whether the model was trained on single sentences, so that it stops at a
            full stop inside a piece; commas take their place.
    """

    format_version: int
    fingerprint: Fingerprints
    dtype: str
    quantize: int | None
    sample_rate: int
    reference_seconds: float
    level_reference: bool
    lm: LMConfig
    mel: MelConfig
    speaker_encoder: SpeakerConfig
    quantizer: QuantizerConfig
    prenet: PrenetConfig
    wave_generator: WaveGeneratorConfig
    encoder: EncoderConfig
    wav2vec2: Wav2Vec2Config
    longest_piece: int = 200
    single_sentences: bool = False

    @property
    def bicodec(self) -> BiCodecConfig:
        return BiCodecConfig(
            self.mel, self.speaker_encoder, self.quantizer, self.prenet, self.wave_generator
        )

    @property
    def hop(self) -> int:
        """Samples to a semantic token."""
        return self.bicodec.hop

    @property
    def reference_samples(self) -> int:
        """Length of the clip the speaker encoder hears, a whole number of hops."""
        return int(self.sample_rate * self.reference_seconds) // self.hop * self.hop

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> ModelConfig:
        parts: dict[str, type[Config]] = {
            "fingerprint": Fingerprints,
            "lm": LMConfig,
            "mel": MelConfig,
            "speaker_encoder": SpeakerConfig,
            "quantizer": QuantizerConfig,
            "prenet": PrenetConfig,
            "wave_generator": WaveGeneratorConfig,
            "encoder": EncoderConfig,
            "wav2vec2": Wav2Vec2Config,
        }
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where} should hold a table of settings, not {shown(data)}")
        read = {
            key: parts[key].from_dict(value, f"{where}, section {key},") if key in parts else value
            for key, value in data.items()
        }
        config = super().from_dict(read, where)
        check_config(config, where)
        return config

    @classmethod
    def load(cls, folder: Path) -> ModelConfig:
        """Read a model folder's config.json.

        Raises:
            ModelError: there is none, it is damaged, or a newer version wrote it.
        """
        path = folder / CONFIG_FILE
        try:
            with path.open("rb") as file:
                data = json.loads(file.read(_MAX_BYTES))
            version = data["format_version"]
            if not isinstance(version, int):
                raise ValueError(f"format_version is {shown(version)}")
        except FileNotFoundError:
            raise ModelError(
                f"{folder} is not a model folder: it holds no {CONFIG_FILE}; "
                "make one with: spark-mlx convert CHECKPOINT FOLDER"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"{path} is damaged ({error}); convert the model again") from error
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{folder} has model format {version}, and this version of spark-mlx reads "
                f"format {FORMAT_VERSION}; "
                + ("update spark-mlx" if version > FORMAT_VERSION else "convert the model again")
            )
        try:
            return cls.from_dict(data, str(path))
        except ConfigError as error:
            raise ModelError(f"{error}; convert the model again") from error
