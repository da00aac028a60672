"""What the small model that ships says: behaviour that noise could not show."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import spark_mlx
from spark_mlx import voices
from spark_mlx.checkpoints import hub
from spark_mlx.generation import checks
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training" / "nano"))

import ear
import labels
from espeak_voice import Job, speak

espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")

# In no corpus, of about the same length.
SENTENCES = (
    "The garden gate was painted green last summer.",
    "My uncle never learned to swim in the ocean.",
    "Seven small boats came back before the storm.",
    "Please bring another chair into the kitchen.",
    "A letter from the doctor arrived this morning.",
    "Nobody remembered where the keys were hidden.",
    "Their teacher told a story about a white horse.",
    "We waited for the train until it was dark.",
)
PITCH_ERROR = 0.15


@pytest.fixture(scope="module")
def nano() -> SparkTTS:
    return spark_mlx.load(hub.BUILT_IN)


def preset(name: str) -> Voice:
    return voices.find(name)


def pitch(nano: SparkTTS, voice: Voice, text: str = SENTENCES[0], seed: int = 0) -> float:
    """The mean F0 of what a voice says, in Hz."""
    return labels.mean_f0(nano.say(text, voice, seed=seed).samples) or 0.0


def nearest(samples: np.ndarray, said: list[np.ndarray]) -> int:
    features = [ear.mfcc(sound) for sound in said]
    return int(ear.distances(ear.mfcc(samples), features).argmin())


@pytest.fixture(scope="module")
def originals() -> list[np.ndarray]:
    """espeak-ng's own way to say the sentences, in a voice that nobody here has."""
    clips = [speak(Job("x", text, "male", "en-us", 50, 160)) for text in SENTENCES]
    return [clip[0].astype(np.float32) / 32768 for clip in clips]


def test_it_is_the_default_and_small() -> None:
    assert hub.resolve(None) == hub.BUILT_IN
    sizes = [path.stat().st_size for path in hub.BUILT_IN.iterdir()]
    assert sum(sizes) < 25e6
    assert (hub.BUILT_IN / "card.md").is_file()


def test_presets_are_nanos_and_say_where_they_are_from(nano: SparkTTS) -> None:
    presets = [Voice.load(entry.path) for entry in voices.listing() if entry.preset]
    assert len(presets) >= 6
    for voice in presets:
        assert voice.codec == nano.codec.fingerprint
        assert voice.source.startswith("espeak-ng -v ")
        assert voice.consent


@espeak
@pytest.mark.parametrize("name", ["ada", "felix"])
def test_it_says_the_words(nano: SparkTTS, originals: list[np.ndarray], name: str) -> None:
    said = [nano.say(text, preset(name)).samples for text in SENTENCES]
    right = [nearest(sound, originals) == i for i, sound in enumerate(said)]
    assert sum(right) >= len(SENTENCES) - 1


@espeak
def test_the_codec_keeps_the_words(nano: SparkTTS, originals: list[np.ndarray]) -> None:
    for i, sound in enumerate(originals):
        codes = nano.codec.encode(sound)
        again = nano.codec.decode(codes.global_tokens, codes.semantic_tokens)
        assert nearest(again, originals) == i


def test_women_speak_higher_than_men(nano: SparkTTS) -> None:
    women = [pitch(nano, preset(name)) for name in ("ada", "clara", "nora")]
    men = [pitch(nano, preset(name)) for name in ("bruno", "hugo", "oscar")]
    assert min(women) > max(men)


@espeak
@pytest.mark.parametrize(
    ("gender", "variant", "setting"), [("male", "m4", 30), ("female", "f4", 60)]
)
def test_a_clone_has_the_pitch_of_the_clip(
    nano: SparkTTS, gender: str, variant: str, setting: int
) -> None:
    """In voices that it never learnt from. Without a transcript it knows the pitch only roughly."""
    clip = speak(Job("x", SENTENCES[1], gender, f"en-us+{variant}", setting, 160))
    sound = clip[0].astype(np.float32) / 32768
    voice = nano.clone((sound, labels.RATE), transcript=SENTENCES[1])
    found = [pitch(nano, voice, text) for text in SENTENCES[2:5]]
    assert np.median(found) == pytest.approx(clip[1]["f0"], rel=PITCH_ERROR)


def test_created_voices_follow_their_labels(nano: SparkTTS) -> None:
    def created(*labels_: str) -> float:
        return pitch(nano, nano.create_voice(*labels_, seed=1))

    assert created("female", "very_high") > created("female", "very_low")
    assert created("female", "moderate") > created("male", "moderate")
    slow, fast = (
        nano.say(SENTENCES[0], nano.create_voice("male", "moderate", speed, seed=1)).duration
        for speed in ("very_low", "very_high")
    )
    assert slow > 1.3 * fast


def test_streamed_speech_is_the_speech(nano: SparkTTS) -> None:
    text = " ".join(SENTENCES[:2])
    whole = nano.say(text, preset("clara"))
    chunks = list(nano.stream(text, preset("clara"), look_ahead=None))
    joined = np.concatenate([chunk.samples for chunk in chunks])
    assert len(joined) == len(whole.samples)
    np.testing.assert_allclose(joined, whole.samples, atol=1e-3)
    # The default look-ahead begins earlier and differs by little.
    quick = list(nano.stream(text, preset("clara")))
    assert len(quick[0].samples) < 0.5 * nano.sample_rate
    joined = np.concatenate([chunk.samples for chunk in quick])
    error = np.sqrt(np.mean((joined - whole.samples) ** 2) / np.mean(whole.samples**2))
    assert error < 0.1


def test_a_model_may_stream_first_of_all() -> None:
    chunks = list(spark_mlx.load(hub.BUILT_IN).stream("Hello.", preset("ada")))
    assert sum(len(chunk.samples) for chunk in chunks) > 4000


def test_a_long_text_is_spoken_as_its_sentences(nano: SparkTTS) -> None:
    speech = nano.say(" ".join(SENTENCES), preset("hugo"))
    assert [sentence.text for sentence in speech.sentences] == list(SENTENCES)
    assert not speech.warnings
    for sentence in speech.sentences:
        assert 1 < sentence.end - sentence.start < 6


@pytest.mark.parametrize("name", ["ada", "hugo"])
@pytest.mark.parametrize(
    ("text", "syllables"),
    [
        ("He said that J. R. R. Tolkien wrote it in the nineteen thirties.", 17),
        ("It is 3 p.m. now and the shop is closed.", 11),
        ("Yes. I went to the shop and bought some bread.", 10),
    ],
)
def test_every_word_takes_its_time(nano: SparkTTS, name: str, text: str, syllables: int) -> None:
    """A full stop inside a piece once ended the answer after 0.8 s."""
    shortest = 0.08 * syllables
    assert checks.sounding_seconds(nano.say(text, preset(name)).samples, 16_000) >= shortest
    streamed = np.concatenate([chunk.samples for chunk in nano.stream(text, preset(name))])
    assert checks.sounding_seconds(streamed, 16_000) >= shortest


def test_a_bad_answer_is_drawn_again(nano: SparkTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, other = (nano.say(SENTENCES[3], preset("ada"), seed=seed).samples for seed in (0, 1))
    examine, seen = checks.examine, []

    def strict(
        samples: np.ndarray, rate: int, ended: bool, shortest: float
    ) -> tuple[np.ndarray, checks.Fault | None]:
        seen.append(len(samples))
        fault = (samples, checks.Fault.SILENCE)
        return fault if len(seen) == 1 else examine(samples, rate, ended, shortest)

    monkeypatch.setattr(checks, "examine", strict)
    again = nano.say(SENTENCES[3], preset("ada"))
    assert seen == [len(plain), len(other)]
    np.testing.assert_array_equal(again.samples, other)
    assert not again.warnings
