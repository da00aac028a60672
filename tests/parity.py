"""Compares every stage with the outputs of the official code; used at both sizes."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from conftest import TEXTS, TRANSCRIPT, Arrays
from spark_mlx.tts import SparkTTS

CLIPS = ("a", "short")

# What each stage reaches, as the largest difference; the measured figures stand in docs/parity.md.
TOLERANCES = {
    "mel": 1e-5,
    "perceiver": 1e-5,
    "w2v_mix": 1e-3,
    "z": 5e-4,
    "z_e": 3e-4,
    "d_vector": 1e-5,
    "prenet": 1e-4,
    "wav_recon": 1e-4,
    "logits_last": 1e-3,
}


def differences(
    tts: SparkTTS, inputs: Arrays, reference: Arrays, clip: str
) -> Iterator[tuple[str, float]]:
    """The largest difference of every float stage that `reference` holds for `clip`.

    Each stage gets the reference's own input where that is stored, so that a difference is the
    stage's own.
    """
    codec, encoder = tts.codec.bicodec, tts.codec.semantic_encoder
    global_tokens = mx.array(reference[f"{clip}.global_tokens"][0])
    semantic_tokens = mx.array(reference[f"{clip}.semantic_tokens"])
    mel = codec._mel(mx.array(inputs[f"{clip}.ref_clip"]))
    features = codec.speaker_encoder.perceiver_sampler(codec.speaker_encoder.speaker_encoder(mel))
    mix = encoder.wav2vec2(mx.array(inputs[f"{clip}.wav_16k"])[None])
    z = encoder.encoder(mix)
    speaker = codec.speaker_encoder.decode(global_tokens)
    prenet = codec.prenet(codec.quantizer.decode(semantic_tokens), speaker)
    stages = {
        "mel": mel.transpose(0, 2, 1),
        "perceiver": features,
        "w2v_mix": mix,
        "z": z.transpose(0, 2, 1),
        "z_e": encoder.in_project(z).transpose(0, 2, 1),
        "d_vector": speaker,
        "prenet": prenet.transpose(0, 2, 1),
        "wav_recon": codec.decode(global_tokens, semantic_tokens)[:, None],
    }
    for name, value in stages.items():
        if f"{clip}.{name}" in reference:
            yield name, _difference(value, reference[f"{clip}.{name}"])
    for language in TEXTS:
        if f"{clip}.{language}.logits_last" in reference:
            logits = tts.lm(mx.array(reference[f"{clip}.{language}.clone_ids"]))[0, -1]
            yield "logits_last", _difference(logits, reference[f"{clip}.{language}.logits_last"])


def check_ids(tts: SparkTTS, inputs: Arrays, reference: Arrays, clip: str) -> None:
    """Every id and code of `clip` equals the official one."""
    codes = tts.codec.encode(inputs[f"{clip}.wav_16k"])
    assert np.array_equal(codes.global_tokens, reference[f"{clip}.global_tokens"][0, 0])
    assert np.array_equal(codes.semantic_tokens, reference[f"{clip}.semantic_tokens"][0])
    for language, text in TEXTS.items():
        expected = {k: reference[f"{clip}.{language}.{k}"] for k in ("clone_ids", "greedy_ids")}
        voice, speech = codes.global_tokens.tolist(), codes.semantic_tokens.tolist()
        prompt = tts.vocabulary.clone_prompt(text, voice)
        # Upstream lets the model write the start of the semantic tokens; here it is given.
        assert prompt == [*expected["clone_ids"][0], tts.vocabulary.start_semantic]
        with_transcript = tts.vocabulary.clone_prompt(text, voice, TRANSCRIPT, speech)
        assert with_transcript == reference[f"{clip}.{language}.clone_ids_transcript"][0].tolist()
        logits = tts.lm(mx.array(expected["clone_ids"]))[0]
        argmax = reference[f"{clip}.{language}.logits_argmax"]
        assert np.array_equal(mx.argmax(logits, axis=-1), argmax)
        assert greedy(tts, expected["clone_ids"], 24) == expected["greedy_ids"][0].tolist()


def check_control_prompts(tts: SparkTTS, reference: Arrays) -> None:
    names = [name for name in reference if name.startswith("control.")]
    assert len(names) == 12
    for name in names:
        _, language, gender, pitch, speed, _ = name.split(".")
        prompt = tts.vocabulary.create_prompt(TEXTS[language], gender, pitch, speed)
        assert prompt == reference[name][0].tolist(), name


def greedy(tts: SparkTTS, ids: np.ndarray, count: int) -> list[int]:
    """The likeliest ids over the whole vocabulary, written one by one with a cache."""
    cache = tts.lm.make_cache()
    inputs = mx.array(ids)
    drawn = []
    for _ in range(count):
        inputs = mx.argmax(tts.lm(inputs, cache)[:, -1:], axis=-1)
        drawn.append(inputs.item())
    return drawn


def _difference(value: mx.array, expected: np.ndarray) -> float:
    # At full size the reference keeps the first frames of some stages only.
    return float(np.abs(np.array(value)[..., : expected.shape[-1]] - expected).max())
