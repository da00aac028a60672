"""Streamed samples join into those of the whole decode."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from conftest import on_each_backend
from spark_mlx import codec
from spark_mlx.errors import ConfigError
from spark_mlx.generation.stream_decoder import StreamDecoder
from spark_mlx.tts import SparkTTS

VOICE = np.arange(32, dtype=np.int32) * 100


def codes(count: int) -> list[int]:
    return np.random.default_rng(count).integers(0, 256, count).tolist()


def streamed(tts: SparkTTS, tokens: list[int], look_ahead: int | None, step: int) -> np.ndarray:
    decoder = StreamDecoder(tts.codec, VOICE, look_ahead)
    parts = [decoder.push(tokens[i : i + step]) for i in range(0, len(tokens), step)]
    return np.concatenate([*parts, decoder.finish()])


@on_each_backend
@pytest.mark.parametrize("step", [1, 7, 400])
@pytest.mark.parametrize("count", [1, 9, 30, 240])
def test_a_full_look_ahead_is_exact(tts: SparkTTS, count: int, step: int) -> None:
    tokens = codes(count)
    whole = tts.codec.decode(VOICE, tokens)
    joined = streamed(tts, tokens, None, step)
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max() < 1e-5


@on_each_backend
def test_a_part_is_that_of_the_whole(tts: SparkTTS) -> None:
    tokens, hop = codes(200), tts.config.hop
    whole = tts.codec.decode(VOICE, tokens)
    for start, stop in ((0, 1), (0, 50), (90, 110), (150, 200), (199, 200)):
        part = tts.codec.decode(VOICE, tokens, start, stop)
        assert np.abs(part - whole[start * hop : stop * hop]).max() < 1e-5
    assert len(tts.codec.decode(VOICE, tokens, 7, 7)) == 0


@on_each_backend
def test_a_long_speech_is_decoded_stretch_by_stretch(
    tts: SparkTTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = codes(240)
    whole = tts.codec.decode(VOICE, tokens)
    monkeypatch.setattr(codec, "LONGEST_STRETCH", 37)
    joined = tts.codec.decode(VOICE, tokens)
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max() < 1e-5


def test_a_shorter_look_ahead_differs_less_and_less(tts: SparkTTS) -> None:
    tokens = codes(200)
    whole = tts.codec.decode(VOICE, tokens)
    errors = []
    for look_ahead in (0, 4, 12, 30):
        joined = streamed(tts, tokens, look_ahead, 1)
        assert joined.shape == whole.shape
        errors.append(np.sqrt(np.mean((joined - whole) ** 2)))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]


@on_each_backend
def test_the_receptive_field_is_what_the_samples_depend_on(tts: SparkTTS) -> None:
    before, after = tts.codec.receptive_field
    tokens = codes(before + after + 41)
    place, hop = before + 20, tts.config.hop
    middle = slice(place * hop, (place + 1) * hop)
    original = tts.codec.decode(VOICE, tokens)[middle]

    def changed(at: int) -> float:
        other = [*tokens[:at], (tokens[at] + 128) % 256, *tokens[at + 1 :]]
        return float(np.abs(tts.codec.decode(VOICE, other)[middle] - original).max())

    assert changed(place - before - 1) == changed(place + after + 1) == 0
    assert changed(place - before // 2) > 0
    assert changed(place + after // 2) > 0


@on_each_backend
def test_sound_starts_before_the_codes_end(tts: SparkTTS) -> None:
    decoder = StreamDecoder(tts.codec, VOICE, look_ahead=5)
    lengths = [len(decoder.push([token])) for token in codes(120)]
    first = next(i for i, length in enumerate(lengths) if length)
    assert first == 14  # ten codes and the look-ahead
    emitted = [length for length in lengths if length]
    assert emitted == sorted(emitted)
    assert sum(lengths) + len(decoder.finish()) == 120 * tts.config.hop


def test_nothing_gives_nothing(tts: SparkTTS) -> None:
    decoder = StreamDecoder(tts.codec, VOICE)
    assert len(decoder.push([])) == len(decoder.finish()) == 0
    with pytest.raises(ConfigError, match="-1"):
        StreamDecoder(tts.codec, VOICE, look_ahead=-1)


def test_receptive_field_of_unequal_layers() -> None:
    """Of a decoder with upsampling in the prenet, against what the samples really depend on."""
    from spark_mlx.model.bicodec.bicodec import BiCodec, BiCodecConfig
    from spark_mlx.model.bicodec.prenet import PrenetConfig
    from spark_mlx.model.bicodec.quantizers import QuantizerConfig
    from spark_mlx.model.bicodec.speaker_encoder import SpeakerConfig
    from spark_mlx.model.bicodec.wave_generator import WaveGeneratorConfig
    from spark_mlx.model.mel import MelConfig

    mx.random.seed(1)
    speaker = SpeakerConfig(16, 16, 8, 4, (4, 4), 16, 8, 24, 1, 2, 8)
    bicodec = BiCodec(
        BiCodecConfig(
            MelConfig(16_000, 1024, 640, 320, 10, None, 16),
            speaker,
            QuantizerConfig(16, 64, 8),
            PrenetConfig(16, 16, 32, 1, 16, 16, (3, 2), False),
            WaveGeneratorConfig(16, 16, (5, 2), (11, 4)),
        )
    )
    bicodec.eval()
    before, after = bicodec.receptive_field()
    hop, place = 60, before + 5
    voice = mx.array([[1, 2, 3, 4]])
    tokens = mx.array(np.random.default_rng(0).integers(0, 64, before + after + 11))[None]

    def block(tokens: mx.array) -> np.ndarray:
        return np.array(bicodec.decode(voice, tokens)[0, place * hop : (place + 1) * hop])

    original = block(tokens)
    for at in (place - before - 1, place + after + 1):
        other = mx.array(tokens)
        other[0, at] = (tokens[0, at] + 32) % 64
        assert np.array_equal(block(other), original)
