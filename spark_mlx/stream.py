"""Codes as they come → samples without seams.

The codec turns a sentence into sound as a whole, but each of its layers looks only so far to both
sides. So a stretch of codes can be decoded as soon as enough codes behind it are there: decoded
with its neighbours, of which only the settled middle is kept. With a look-ahead of at least the
receptive field the samples are those of the whole decode; with less they differ by little, as
docs/streaming.md shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import mlx.nn as nn
import numpy as np

from spark_mlx.audio import Samples
from spark_mlx.codec.bicodec import BiCodec
from spark_mlx.codec.codec import Codec, Tokens
from spark_mlx.codec.vocos import Upsample, VocosBackbone
from spark_mlx.codec.wave_generator import DecoderBlock, ResidualUnit
from spark_mlx.errors import ConfigError
from spark_mlx.layers import Conv1d, ConvTranspose1d
from spark_mlx.places import Span

# Codes: the first stretch is short, so that sound starts at once; each next one is half as long
# again, so that little is decoded twice.
FIRST_STRETCH, GROWTH, LONGEST_STRETCH = 10, 1.5, 100
LOOK_AHEAD = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Chunk:
    """A stretch of streamed speech.

    Attributes:
        samples: float32 (N,); of a chunk that only brings a warning, none.
        sample_rate: Hz.
        start: seconds of speech before it.
        piece: which piece of the text it belongs to, from 0. A piece is a sentence, a few very
            short ones, or a part of a long one.
        sentence: which sentence that is, from 0; the parts of a long one share it.
        text: the piece in the words of the text that was given.
        span: their first character in that text, and the one after their last.
        spoken: what the model speaks, with numbers and the like in words.
        pause: whether this is the silence after the piece.
        warning: what went less than well in the piece and can be heard, or ""; in its last chunk.
    """

    samples: Samples
    sample_rate: int
    start: float
    piece: int
    sentence: int
    text: str
    span: Span
    spoken: str
    pause: bool = False
    warning: str = ""

    @property
    def end(self) -> float:
        """Seconds of speech up to its end."""
        return self.start + len(self.samples) / self.sample_rate


def receptive_field(bicodec: BiCodec) -> tuple[int, int]:
    """How many codes before and after its own the samples of a code depend on."""
    low, high = 0, bicodec.hop - 1
    for layer in (bicodec.wave_generator.model, *_prenet_layers(bicodec)):
        low, high = _needed(layer, low, high)
    return -low, high


class StreamDecoder:
    """Decodes the codes of one sentence while they come.

    Args:
        global_tokens: (G,), the voice.
        look_ahead: how many codes behind a stretch are waited for; None for as many as make the
            samples exact.
    """

    def __init__(
        self, codec: Codec, global_tokens: Tokens, look_ahead: int | None = LOOK_AHEAD
    ) -> None:
        before, after = receptive_field(codec.bicodec)
        if look_ahead is not None and look_ahead < 0:
            raise ConfigError(f"a look-ahead is a number of codes, not {look_ahead}")
        self._codec = codec
        self._global_tokens = global_tokens
        self._before = before
        self._look_ahead = after if look_ahead is None else min(look_ahead, after)
        self._tokens: list[int] = []
        self._done = 0
        self._stretch = float(FIRST_STRETCH)

    def push(self, tokens: Sequence[int]) -> Samples:
        """Takes more codes; gives the samples that are settled by now, maybe none."""
        self._tokens += tokens
        ready = len(self._tokens) - self._look_ahead - self._done
        if ready < int(self._stretch):
            return np.zeros(0, dtype=np.float32)
        self._stretch = min(LONGEST_STRETCH, self._stretch * GROWTH)
        return self._decode(self._done + ready)

    def finish(self) -> Samples:
        """The rest, when no more codes come."""
        return self._decode(len(self._tokens))

    def _decode(self, end: int) -> Samples:
        """The samples of the codes from where the last ones ended up to `end`."""
        if end == self._done:
            return np.zeros(0, dtype=np.float32)
        start = max(0, self._done - self._before)
        window = self._tokens[start : end + self._look_ahead]
        samples = self._codec.decode(self._global_tokens, window)
        hop = self._codec.bicodec.hop
        settled = samples[(self._done - start) * hop : (end - start) * hop]
        self._done = end
        return settled


def _prenet_layers(bicodec: BiCodec) -> list[Any]:
    """The prenet's layers that look sideways, the last one first."""
    prenet = bicodec.prenet
    stages = [layer for stage in prenet.downsample for layer in stage]
    return [prenet.vocos_backbone, *reversed(stages)]


def _needed(layer: Any, low: int, high: int) -> tuple[int, int]:
    """The input frames that the output frames from `low` to `high` depend on, both included."""
    match layer:
        case list():
            for part in reversed(layer):
                low, high = _needed(part, low, high)
            return low, high
        case Conv1d():
            reach = layer.dilation * (layer.kernel_size - 1)
            first = low * layer.stride - layer.padding
            return first, high * layer.stride - layer.padding + reach
        case ConvTranspose1d():
            kernel, stride = layer.weight.shape[1], layer.stride
            return -((kernel - 1 - layer.padding - low) // stride), (high + layer.padding) // stride
        case ResidualUnit() | DecoderBlock():
            return _needed(layer.block, low, high)
        case VocosBackbone():
            return _needed([layer.embed, *(block.dwconv for block in layer.convnext)], low, high)
        case Upsample(ratio=1):
            return low, high
        case Upsample():
            by_conv = _needed(layer.de_conv_upsampler[1], low, high)
            return min(by_conv[0], low // layer.ratio), max(by_conv[1], high // layer.ratio)
        case nn.Module():  # activations and norms look at their own frame alone
            return low, high
    raise TypeError(f"no receptive field is known for {layer!r}")
