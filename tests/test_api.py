"""The Python interface as a newcomer uses it: names for voices, lists of texts, wrong types."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import REFERENCE
from spark_mlx import voices
from spark_mlx.errors import ArgumentError, SparkError, TextError, VoiceError
from spark_mlx.speech import Speech
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

CLIP = REFERENCE / "short.wav"


@pytest.fixture(scope="module")
def voice(tts: SparkTTS) -> Voice:
    return tts.clone(CLIP, name="alice")


def test_a_voice_may_be_a_name_a_file_or_a_recording(
    tts: SparkTTS, voice: Voice, tmp_path: Path
) -> None:
    said = tts.say("Hello.", voice).samples
    voices.save(voice)
    voice.save(tmp_path / "v.npz")
    for named in ("alice", tmp_path / "v.npz", str(tmp_path / "v.npz"), str(CLIP), CLIP):
        assert np.array_equal(tts.say("Hello.", voice=named).samples, said)
    (first, *_) = tts.stream("Hello.", voice="alice")
    assert first.text == "Hello."
    with pytest.raises(VoiceError, match="there is no voice 'alcie'; did you mean alice"):
        tts.say("Hello.", voice="alcie")


def test_texts_together_sound_as_they_do_alone(tts: SparkTTS, voice: Voice) -> None:
    texts = ["The first one.", "The second one.\nWith a second line.", "The third."]
    counts: list[tuple[int, int]] = []
    together = tts.say(texts, voice, progress=lambda *count: counts.append(count))
    assert counts[-1] == (4, 4)
    assert isinstance(together, list)
    for text, speech in zip(texts, together, strict=True):
        alone = tts.say(text, voice)
        assert speech.sentences == alone.sentences
        assert np.abs(speech.samples - alone.samples).max() < 1e-4
    assert tts.say([], voice) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"text": 5}, "text is a int; give a string"),
        ({"text": ["Hi.", None]}, "text is a NoneType; give a string"),
        ({"voice": 5}, "voice is a int; give a Voice, a name"),
        ({"seed": 1.5}, "seed is a float; give a whole number"),
        ({"seed": True}, "seed is a bool"),
        ({"temperature": "hot"}, "temperature is a str; give a number"),
        ({"top_k": 2.5}, "top_k is a float"),
    ],
)
def test_wrong_types_are_errors_of_both_families(
    tts: SparkTTS, voice: Voice, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ArgumentError, match=complaint) as caught:
        tts.say(**{"text": "Hello.", "voice": voice, **options})
    assert isinstance(caught.value, SparkError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("name", "value"),
    [("gender", 1), ("pitch", None), ("seed", "x"), ("pitch_value", "high"), ("speed_value", 2.5)],
)
def test_wrong_types_of_a_new_voice(tts: SparkTTS, name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=name):
        tts.create_voice(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("source", 5), ("transcript", 5), ("name", 5)])
def test_wrong_types_of_a_clone(tts: SparkTTS, name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=name):
        tts.clone(**{"source": CLIP, name: value})


def test_speeches_add_up(tts: SparkTTS, voice: Voice) -> None:
    first, second = tts.say(["One text.", "Another\x1b one."], voice)
    both = first + second
    assert len(both.samples) == len(first.samples) + len(second.samples)
    assert both.duration == pytest.approx(first.duration + second.duration)
    assert [sentence.text for sentence in both.sentences] == ["One text.", "Another\x1b one."]
    assert both.sentences[1].start == pytest.approx(first.duration)
    assert both.sentences[1].span == (0, 13)
    assert both.warnings == first.warnings + second.warnings
    assert len(sum([first, second], start=Speech.silence(0.5)).samples) == len(both.samples) + 8000
    with pytest.raises(TypeError):
        first + 5  # type: ignore[operator]


def test_speech_plays_in_a_notebook(tts: SparkTTS, voice: Voice) -> None:
    html = tts.say("Hello.", voice)._repr_html_()
    assert html.startswith('<audio controls src="data:audio/')
    assert len(html) > 1000


def test_what_is_public_has_a_short_repr(tts: SparkTTS, voice: Voice) -> None:
    speech = tts.say("Hello.", voice)
    assert repr(speech) == f"<Speech: {speech.duration:.2f} s at 16000 Hz, 1 sentence>"
    assert repr(tts).startswith("<SparkTTS: 3 layers of 64, 16000 Hz")
    assert repr(voice) == "<Voice 'alice': cloned from short.wav>"
    (chunk, *_) = tts.stream("Hello.", voice)
    assert repr(chunk).startswith("<Chunk: 0.00–")
    assert all(len(repr(one)) < 80 for one in (speech, tts, voice, chunk))


def test_a_model_refuses_scripts_that_it_does_not_speak(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tts, "config", dataclasses.replace(tts.config, languages=("en",)))
    with pytest.raises(TextError, match="speaks English, and 100% of the text is in Chinese"):
        tts.say("你好，世界。", voice)
    with pytest.raises(TextError, match=r"in Cyrillic script; .*spark-mlx download.*force"):
        next(tts.stream("Привет, мир.", voice))
    assert not any("speaks" in w for w in tts.say("你好。", voice, force=True).warnings)
    speech = tts.say("The café in the old town is called 你好, they say, on the map.", voice)
    assert speech.warnings[-1] == "the model speaks English; words in Chinese script may be wrong"
    speech = tts.say("A café on Ångström street, 5 µm wide.", voice)
    assert not any("speaks" in warning for warning in speech.warnings)
