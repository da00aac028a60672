"""The tiny checkpoint gives what the official code gives: ids exactly, floats to a tolerance."""

import numpy as np
import pytest

from conftest import REFERENCE, Arrays, on_each_backend
from parity import CLIPS, TOLERANCES, check_control_prompts, check_ids, differences
from spark_mlx.audio import files
from spark_mlx.tts import SparkTTS


@on_each_backend
@pytest.mark.parametrize("clip", CLIPS)
def test_floats(tts: SparkTTS, reference: Arrays, clip: str) -> None:
    measured = list(differences(tts, reference, reference, clip))
    assert {name for name, _ in measured} == TOLERANCES.keys()
    for name, difference in measured:
        assert difference <= TOLERANCES[name], name


@on_each_backend
@pytest.mark.parametrize("clip", CLIPS)
def test_ids(tts: SparkTTS, reference: Arrays, clip: str) -> None:
    check_ids(tts, reference, reference, clip)


def test_control_prompts(tts: SparkTTS, reference: Arrays) -> None:
    check_control_prompts(tts, reference)


@on_each_backend
@pytest.mark.parametrize("clip", CLIPS)
def test_from_file_to_tokens(tts: SparkTTS, reference: Arrays, clip: str) -> None:
    voice = tts.clone(REFERENCE / f"{clip}.wav", transcript="a transcript.")
    assert np.array_equal(voice.global_tokens, reference[f"{clip}.global_tokens"][0, 0])
    assert np.array_equal(voice.semantic_tokens, reference[f"{clip}.semantic_tokens"][0])


@pytest.mark.parametrize("clip", CLIPS)
def test_reference_audio(reference: Arrays, clip: str) -> None:
    samples = files.reference(REFERENCE / f"{clip}.wav")
    assert np.abs(samples - reference[f"{clip}.wav_16k"]).max() < 1e-6
    clipped = files.speaker_clip(samples, 96_000)
    assert np.abs(clipped - reference[f"{clip}.ref_clip"][0]).max() < 1e-6
