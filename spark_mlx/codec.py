"""The codec as its users see it: numpy samples ↔ numpy tokens.

Holds the two halves of BiCodec. The listening half (wav2vec2 and the feature encoder) is opened
when semantic tokens are first asked for, and not before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from spark_mlx.audio.files import speaker_clip
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.weights import load_weights
from spark_mlx.errors import AudioError, VoiceError
from spark_mlx.model.bicodec.bicodec import BiCodec
from spark_mlx.model.bicodec.semantic_encoder import SemanticEncoder

CODEC_FILE = "codec.safetensors"
ENCODER_FILE = "encoder.safetensors"
# Semantic tokens that become sound at once. Each takes half a megabyte in the official shape, so
# that a long speech takes no more than this; its stretches join without a seam.
LONGEST_STRETCH = 400

Samples = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int32]
Module = TypeVar("Module", bound=nn.Module)


@dataclasses.dataclass(frozen=True)
class Codes:
    """Speech as tokens.

    Attributes:
        global_tokens: (G,), who speaks.
        semantic_tokens: (T,), what is said, 50 a second at the published rates.
    """

    global_tokens: Tokens
    semantic_tokens: Tokens


class Codec:
    """BiCodec of one model folder. All samples are mono, at the model's rate (16 kHz).

    Args:
        bicodec: with weights that are evaluated.
        open_semantic_encoder: called when semantic tokens are first asked for.
        computing: entered by whatever computes.
    """

    def __init__(
        self,
        config: ModelConfig,
        bicodec: BiCodec,
        open_semantic_encoder: Callable[[], SemanticEncoder],
        computing: contextlib.AbstractContextManager[None],
    ) -> None:
        self.config = config
        self.bicodec = bicodec
        self.fingerprint = config.fingerprint.codec
        self.global_codes = config.speaker_encoder.codes
        self.semantic_codes = config.quantizer.codebook_size
        self._open_semantic_encoder = open_semantic_encoder
        self._computing = computing

    @classmethod
    def load(
        cls,
        folder: Path,
        config: ModelConfig,
        accelerate: Callable[[nn.Module], None],
        computing: contextlib.AbstractContextManager[None],
    ) -> Codec:
        """Open the codec of a model folder.

        Args:
            accelerate: fits a loaded module to the device, in place.
            computing: see `Codec`.
        """

        def opened(module: Module, file: str) -> Module:
            load_weights(module, folder / file)
            module.set_dtype(mx.float32)  # it may be stored in less than it computes in
            accelerate(module)
            mx.eval(module.parameters())
            return module

        def open_semantic_encoder() -> SemanticEncoder:
            encoder = SemanticEncoder(config.wav2vec2, config.encoder, config.quantizer)
            return opened(encoder, ENCODER_FILE)

        with computing:
            bicodec = opened(BiCodec(config.bicodec), CODEC_FILE)
        return cls(config, bicodec, open_semantic_encoder, computing)

    @functools.cached_property
    def receptive_field(self) -> tuple[int, int]:
        """How many semantic tokens before and after its own the samples of one depend on."""
        return self.bicodec.receptive_field()

    @functools.cached_property
    def semantic_encoder(self) -> SemanticEncoder:
        """wav2vec2 and the feature encoder, opened at first use."""
        with self._computing:
            return self._open_semantic_encoder()

    def encode(self, samples: Samples) -> Codes:
        """Samples (N,) → both kinds of tokens."""
        return Codes(self.encode_speaker(samples), self.encode_semantic(samples))

    def encode_speaker(self, samples: Samples) -> Tokens:
        """Samples (N,) → global tokens (G,), from the clip's first seconds."""
        clip = speaker_clip(_mono(samples), self.config.reference_samples)
        with self._computing:
            return np.array(self.bicodec.encode_speaker(mx.array(clip)[None])[0])

    def encode_semantic(self, samples: Samples) -> Tokens:
        """Samples (N,) → semantic tokens (T,), about one for each hop."""
        with self._computing:
            latents = self.semantic_encoder(mx.array(_mono(samples))[None])
            return np.array(self.bicodec.quantizer.encode(latents)[0])

    def decode(
        self,
        global_tokens: Sequence[int] | Tokens,
        semantic_tokens: Sequence[int] | Tokens,
        start: int = 0,
        stop: int | None = None,
    ) -> Samples:
        """Global tokens (G,) and semantic tokens (T,) → samples (hop · T,) in [−1, 1].

        Args:
            start, stop: give only the samples of these semantic tokens; the others are heard in
                them, as neighbours.

        Raises:
            VoiceError: a token is out of range, or the number of global tokens is not the codec's.
        """
        voice = _checked(global_tokens, "global", self.global_codes)
        if len(voice) != self.config.speaker_encoder.token_num:
            raise VoiceError(
                f"this codec's voices have {self.config.speaker_encoder.token_num} global tokens, "
                f"not {len(voice)}"
            )
        speech = _checked(semantic_tokens, "semantic", self.semantic_codes)
        before, after = self.receptive_field
        parts = [np.zeros(0, dtype=np.float32)]
        stop = len(speech) if stop is None else stop
        for first in range(start, stop, LONGEST_STRETCH):
            end = min(stop, first + LONGEST_STRETCH)
            low = max(0, first - before)
            with self._computing:
                window = mx.array(speech[low : end + after])[None]
                samples = self.bicodec.decode(mx.array(voice)[None], window, first - low, end - low)
                parts.append(np.array(samples[0]))
        return np.concatenate(parts)


def _mono(samples: Samples) -> Samples:
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or not len(samples):
        raise AudioError(f"samples should be one row of numbers, not an array {samples.shape}")
    return samples


def _checked(tokens: Sequence[int] | Tokens, kind: str, codes: int) -> Tokens:
    checked = np.asarray(tokens, dtype=np.int32)
    if checked.ndim != 1:
        raise VoiceError(f"{kind} tokens should be one row of numbers, not {checked.shape}")
    outside = checked[(checked < 0) | (checked >= codes)]
    if len(outside):
        raise VoiceError(f"a {kind} token is between 0 and {codes - 1}, not {outside[0]}")
    return checked
