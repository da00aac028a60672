"""The data that nano learns from: sentences, labels, voices, and what the teacher tells."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ROOT
from spark_mlx.generation import labels as runtime_labels

sys.path.insert(0, str(ROOT / "training" / "nano"))

import corpus
import everyday
import judges
import labels
import spoken_numbers
import voices

HERTZ = (60, 75, 97, 130, 180, 240, 310, 400)
SECOND = np.arange(labels.RATE) / labels.RATE


def tone(hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * SECOND)


def pulses(hertz: float) -> np.ndarray:
    """A pulse train through a formant at 500 Hz."""
    train = np.diff(np.floor(hertz * SECOND), prepend=-1.0)
    n = np.arange(160)
    return np.convolve(train, np.exp(-n / 25) * np.cos(2 * np.pi * 500 / labels.RATE * n))[
        : labels.RATE
    ]


def strong_second(hertz: float) -> np.ndarray:
    """The second harmonic 10 dB above the others, as where a formant meets it."""
    return 0.3 * tone(hertz) + tone(2 * hertz) + 0.3 * tone(3 * hertz)


@pytest.mark.parametrize("hertz", HERTZ)
@pytest.mark.parametrize("sound", [tone, pulses, strong_second])
def test_f0_is_found(sound: Any, hertz: float) -> None:
    track = labels.f0_track(sound(hertz))
    assert np.mean(track > 0) > 0.95
    # Every frame, so that no octave error hides in the mean.
    np.testing.assert_allclose(track[track > 0][3:-5], hertz, rtol=0.02)
    assert labels.mean_f0(sound(hertz)) == pytest.approx(hertz, rel=0.02)


def test_f0_follows_a_glide() -> None:
    hertz = 100 + 100 * SECOND
    track = labels.f0_track(np.sin(2 * np.pi * np.cumsum(hertz) / labels.RATE))
    np.testing.assert_allclose(track[3:-5], hertz[:: labels.HOP][3:-4], rtol=0.02)


def test_noise_and_silence_have_no_f0() -> None:
    noise = np.random.default_rng(0).normal(size=labels.RATE)
    for sound in (noise, np.zeros(labels.RATE), np.zeros(50), np.zeros(0)):
        assert labels.mean_f0(sound) == 0
        assert len(labels.f0_track(sound)) == 1 + len(sound) // labels.HOP
    # Noise beside a voice stays out of its mean.
    mixed = np.concatenate([tone(120), noise])
    assert labels.mean_f0(mixed) == pytest.approx(120, rel=0.02)


def test_f0_does_not_depend_on_the_scale() -> None:
    loud = (pulses(150) * 8000).astype(np.int16)
    assert labels.mean_f0(loud) == pytest.approx(labels.mean_f0(pulses(150)), rel=1e-3)


def test_values() -> None:
    assert labels.mel(1000) == pytest.approx(1000, abs=0.1)  # what the scale is made for
    assert [labels.pitch_value(f) for f in (0, 100, 1000, 5000)] == [0, 150, 1000, 1000]
    assert [labels.speed_value(r) for r in (0.4, 4.6, 99)] == [0, 5, 10]
    assert labels.LEVELS == runtime_labels.LEVELS


def test_levels_hold_a_fifth_each() -> None:
    rng = np.random.default_rng(0)
    genders = ["female", "male"] * 500
    f0 = np.where(np.arange(1000) % 2 == 0, 200, 100) * rng.uniform(0.7, 1.4, 1000)
    rates = rng.uniform(2, 8, 1000)
    fitted = labels.Thresholds.fit(genders, list(f0), list(rates))
    assert labels.Thresholds.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted
    for gender in ("female", "male"):
        found = [fitted.pitch_label(g, f) for g, f in zip(genders, f0, strict=True) if g == gender]
        assert [found.count(level) for level in labels.LEVELS] == [100] * 5
    speeds = [fitted.speed_label(rate) for rate in rates]
    assert [speeds.count(level) for level in labels.LEVELS] == [200] * 5
    assert (fitted.speed_label(0), fitted.speed_label(20)) == ("very_low", "very_high")
    assert fitted.pitch_label("male", 130) == "very_high"
    assert fitted.pitch_label("female", 130) == "very_low"


def test_syllables() -> None:
    assert labels.syllables("aɪ h_a_d ɐ_n aɪ_d_ˈiə_ɹ\nk_ɹ_iː__ˈeɪ_ʃ_ə_n") == 8
    assert labels.syllables("b_ˈɒ_t_əl_z b_ˈʌ_ʔ_n̩") == 4
    assert labels.syllables("(fr)d_e_ʒ_a(en-us)") == 2
    assert labels.syllables("") == 0


def test_trimming() -> None:
    sound = np.concatenate([np.zeros(4000), tone(200)[:8000], np.zeros(3000)])
    trimmed, seconds = labels.trim(sound)
    assert seconds == pytest.approx(0.5, abs=0.011)
    assert len(trimmed) == pytest.approx(8000 + 2 * labels.MARGIN, abs=labels.HOP)
    assert labels.trim(np.zeros(500))[1] == 0


def test_numbers_in_words() -> None:
    assert spoken_numbers.cardinal(0) == "zero"
    assert (
        spoken_numbers.cardinal(120_305) == "one hundred and twenty thousand three hundred and five"
    )
    assert spoken_numbers.cardinal(2_005) == "two thousand and five"
    assert [spoken_numbers.ordinal(n) for n in (1, 12, 20, 33, 100)] == [
        "first", "twelfth", "twentieth", "thirty-third", "one hundredth",
    ]  # fmt: skip
    assert [spoken_numbers.year(n) for n in (1905, 1942, 1800, 2000, 2009, 2026)] == [
        "nineteen oh five", "nineteen forty-two", "eighteen hundred", "two thousand",
        "two thousand and nine", "twenty twenty-six",
    ]  # fmt: skip
    assert [spoken_numbers.time(*t) for t in ((9, 30), (12, 45), (1, 5), (3, 0))] == [
        "half past nine", "a quarter to one", "one oh five", "three o'clock",
    ]  # fmt: skip


def test_sentences_about_numbers_can_be_spoken() -> None:
    rng = random.Random(0)
    drawn = [spoken_numbers.sentence(rng) for _ in range(500)]
    assert not any(re.search(r"[\d{}]", sentence) for sentence in drawn)
    assert sum(map(corpus.speakable, drawn)) > 400  # some are too long


@pytest.mark.parametrize(
    "text",
    ["Two words.", "No end", "The U.S.A. is one.", "He said STOP to me.", "It has 3 of them.",
     "Look at this, , comma.", "See http://x.y for more.", "It was naïve of me."],
)  # fmt: skip
def test_what_is_not_spoken(text: str) -> None:
    assert not corpus.speakable(text)


def test_prose_is_split() -> None:
    found = list(corpus.sentences('"I said\n  so," he  said. Did you?  -- No  one did!'))
    assert found == ["I said so, he said.", "Did you?", "No one did!"]


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Small stand-ins for Debian's packages."""
    folder = tmp_path / "fortunes"
    folder.mkdir()
    (folder / "cookie").write_text(
        "The early bird gets the worm.\n\t\t-- Nobody At All\n%\nThe early bird gets the worm!\n%\n"
        "Nothing is ever quite so simple.\n"
    )
    words = tmp_path / "words"
    words.write_text("\n".join(["Anna", "Bert", "Carla", "Dora", "Emil", "NATO", "Anna's"]) + "\n")
    with words.open("a") as file:
        file.writelines(f"{a}{b}ing\n" for a in ("walk", "talk", "read") for b in ("", "er", "s"))
    monkeypatch.setattr(corpus, "FORTUNES", folder)
    monkeypatch.setattr(corpus, "WORDS", words)
    monkeypatch.setattr(corpus, "kjv", lambda: ["And there was light.", "And it was so."])
    return tmp_path


def test_corpus(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, seed: int) -> str:
        out = sources / name
        sizes = ["--train", "200", "--valid", "20", "--eval", "30"]
        corpus.main([str(out), "--seed", str(seed), *sizes])
        return out.read_text()

    written = write("a.jsonl", 0)
    assert write("b.jsonl", 0) == written
    assert write("c.jsonl", 1) != written
    rows = [json.loads(line) for line in written.splitlines()]
    splits = [row["split"] for row in rows]
    assert [splits.count(s) for s in ("train", "valid", "eval")] == [200, 20, 30]
    assert len({row["id"] for row in rows}) == 250
    assert len({corpus.normalised(row["text"]) for row in rows}) == 250
    assert len({row["text"] for row in rows if not corpus.speakable(row["text"])}) < 60
    assert {"And there was light.", "Nothing is ever quite so simple."} <= {r["text"] for r in rows}
    monkeypatch.setattr(corpus, "PATIENCE", 100)
    with pytest.raises(SystemExit, match="are all there are"):
        corpus.main([str(sources / "d.jsonl"), "--train", "20000"])


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(corpus.CorpusError, match="apt-get install wamerican"):
        corpus.word_lists(tmp_path / "none")
    with pytest.raises(corpus.CorpusError, match="apt-get install fortunes"):
        corpus.fortunes(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(corpus.CorpusError, match="apt-get install bible-kjv"):
        corpus.kjv()


def test_everyday_sentences() -> None:
    rng = random.Random(0)
    drawn = [everyday.sentence(rng) for _ in range(3000)]
    assert not any(re.search(r"[\d{}]", sentence) for sentence in drawn)
    assert all(re.fullmatch(r"[A-Z].*[.?!]", sentence) for sentence in drawn)
    lengths = [len(sentence.split()) for sentence in drawn]
    assert min(lengths) == 1
    assert max(lengths) <= everyday.MOST
    assert len(set(drawn)) > 2500
    assert sum(sentence.endswith("?") for sentence in drawn) > 300


def test_what_judges_is_in_no_corpus(sources: Path) -> None:
    unseen = {corpus.normalised(line) for line in corpus.UNSEEN.read_text().splitlines()}
    assert len(unseen) >= 50
    rows, _ = corpus.build({"eval": 10, "train": 100}, 0)
    assert not unseen & {corpus.normalised(row["text"]) for row in rows}


def test_voices_for_judging_are_kept_out() -> None:
    known = voices.speakers()
    assert known == voices.speakers()
    assert known[0].style == voices.Style()
    assert sum(speaker.held_out for speaker in known) == voices.HELD_OUT
    rng = random.Random(0)
    drawn = [voices.draw(known, rng).number for _ in range(1000)]
    assert 300 < drawn.count(0) < 400
    assert {speaker.gender for speaker in known} == {"female", "male"}


@pytest.mark.parametrize(
    ("said", "heard", "wrong"),
    [
        ("It is half past ten.", "it is half past 10", 0),
        ("My favourite colour.", "My favorite color!", 0),
        ("One hundred and five men.", "105 men", 1),  # the word "and" is left out
        ("Turn left at the bank.", "Turn right at bank", 2),
        ("Yes.", "", 1),
    ],
)
def test_word_errors(said: str, heard: str, wrong: int) -> None:
    assert judges.word_errors(said, heard) == (wrong, len(judges.words(said)))


def test_the_teacher_tells_what_it_says() -> None:
    teaching = pytest.importorskip("teacher", exc_type=ImportError)
    render = pytest.importorskip("render", exc_type=ImportError)
    teacher = teaching.Teacher()
    phonemes = teacher.phonemes("My mother likes yellow lemons.")
    said = teacher.speak(phonemes, voices.Style(), 0)
    frames = len(said.samples) // teaching.HOP
    assert len(said.phonemes) == len(said.f0) == len(said.phase) == frames
    assert len(said.words) == 5 + 1
    assert list(said.words) == sorted(said.words)

    # The F0 it tells is the one that is heard, and its phase advances by it.
    heard = labels.f0_track(said.samples)[1::2][:frames]
    both = (said.f0 > 0) & (heard > 0)
    assert both.mean() > 0.3
    assert np.median(np.abs(heard / np.maximum(said.f0, 1) - 1)[both]) < 0.03
    turned = np.diff(said.phase) - 0.01 * (said.f0[1:] + said.f0[:-1])
    turned = turned[both[1:] & both[:-1]]
    assert np.median(np.abs(turned - np.rint(turned))) < 0.05

    low = teacher.speak(phonemes, voices.Style(0.9, 0.8), 0)
    ratio = np.median(low.f0[low.f0 > 0]) / np.median(said.f0[said.f0 > 0])
    assert ratio == pytest.approx(0.72, rel=0.06)
    assert len(low.samples) == pytest.approx(len(said.samples), rel=0.15)

    kept = render.trimmed(said)
    assert kept is not None
    assert len(kept.samples) < len(said.samples)
    assert np.abs(kept.samples).max() <= 1
