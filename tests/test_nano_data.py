"""The data that nano learns from: sentences, labels, and speech by espeak-ng."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ROOT
from spark_mlx.errors import SparkError
from spark_mlx.generation import labels as runtime_labels

sys.path.insert(0, str(ROOT / "examples" / "nano"))

import alignment
import corpus
import labels
import render
import spoken_numbers

espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")

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
    assert all(corpus.speakable(row["text"]) for row in rows)
    assert {"And there was light.", "Nothing is ever quite so simple."} <= {r["text"] for r in rows}
    monkeypatch.setattr(corpus, "PATIENCE", 100)
    with pytest.raises(SystemExit, match="are all there are"):
        corpus.main([str(sources / "d.jsonl"), "--train", "20000"])


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SparkError, match="apt-get install wamerican"):
        corpus.word_lists(tmp_path / "none")
    with pytest.raises(SparkError, match="apt-get install fortunes"):
        corpus.fortunes(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SparkError, match="apt-get install bible-kjv"):
        corpus.kjv()
    with pytest.raises(SparkError, match="apt-get install espeak-ng"):
        render.render(tmp_path / "s.jsonl", tmp_path, 1.0, 1, 0, 500)


def test_eval_has_voices_of_its_own() -> None:
    def spoken(split: str) -> list[render.Job]:
        rows = [{"id": f"{split}-{i}", "split": split, "text": "Hello."} for i in range(100)]
        return [render.plan(rows, i, 0) for i in range(200)]

    train, judged = spoken("train"), spoken("eval")
    assert not {job.voice for job in train} & {job.voice for job in judged}
    assert {job.voice for job in spoken("valid")} <= {job.voice for job in train}
    for gender in ("female", "male"):
        variants = {job.voice.partition("+")[2] for job in train if job.gender == gender}
        assert len(variants) >= 4
    # A sentence comes again in another voice, under another id.
    assert len({job.id for job in train}) == 200
    assert train[0].id + "+2" == train[100].id
    assert train[0].text == train[100].text


@espeak
def test_every_voice_is_itself() -> None:
    """An accent that swallowed the variant would make all voices male."""
    text = "They walked along the river and talked of many things."
    for accent in render.ACCENTS:
        f0: dict[str, list[float]] = {}
        sounds = []
        for gender in ("female", "male"):
            for variant in render.VOICES[gender] + render.UNSEEN[gender]:
                clip = render.speak(render.Job("x", text, gender, f"{accent}+{variant}", 50, 170))
                assert clip is not None
                sounds.append(clip[0].tobytes())
                f0.setdefault(gender, []).append(clip[1]["f0"])
        assert min(f0["female"]) > 1.4 * max(f0["male"])
        assert len(set(sounds)) == len(sounds)


@espeak
def test_pitch_and_speed_rise_with_their_settings() -> None:
    def speak(pitch: int, speed: int) -> dict[str, Any]:
        text = "They walked along the river."
        clip = render.speak(render.Job("x", text, "male", "en-us+m3", pitch, speed))
        assert clip is not None
        return clip[1]

    pitches = [speak(pitch, 170)["f0"] for pitch in (5, 50, 95)]
    assert pitches == sorted(pitches)
    assert pitches[2] > 1.5 * pitches[0]
    rates = [
        speak(50, speed)["syllables"] / speak(50, speed)["seconds"] for speed in (100, 200, 320)
    ]
    assert rates == sorted(rates)
    assert rates[2] > 2 * rates[0]


@espeak
def test_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Good morning.", "How are you today?", "It is a fine day."]
    rows = [
        {"id": f"{split}-{i:06}", "split": split, "text": text}
        for split in ("train", "eval")
        for i, text in enumerate(texts, start=1)
    ]
    source, out = tmp_path / "s.jsonl", tmp_path / "out"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(render, "PILOT", 12)
    arguments = [str(source), str(out), "--hours", "0.001", "--shard", "4"]
    render.main(arguments)
    assert sorted(path.name for path in out.iterdir()) == [
        "eval-00000.npz", "labels.json", "train-00000.npz",
    ]  # fmt: skip
    with np.load(out / "train-00000.npz") as shard:
        samples, offsets = shard["samples"], shard["offsets"]
        meta = [json.loads(entry) for entry in shard["meta"]]
    assert (samples.dtype, offsets.dtype) == (np.int16, np.int64)
    assert [entry["id"] for entry in meta] == [
        "train-000001", "train-000002", "train-000003", "train-000001+2",
    ]  # fmt: skip
    assert (offsets[0], offsets[-1], len(offsets)) == (0, len(samples), 5)
    thresholds = labels.Thresholds.from_dict(
        json.loads((out / "labels.json").read_text())["thresholds"]
    )
    for i, entry in enumerate(meta):
        clip = samples[offsets[i] : offsets[i + 1]]
        assert np.abs(clip).max() > 1000
        assert 0 < len(clip) / labels.RATE - entry["seconds"] <= 0.1 + 1e-3
        assert labels.mean_f0(clip) == pytest.approx(entry["f0"], rel=0.01)
        assert entry["pitch_value"] == labels.pitch_value(entry["f0"])
        assert entry["pitch_label"] == thresholds.pitch_label(entry["gender"], entry["f0"])
        rate = entry["syllables"] / entry["seconds"]
        assert (entry["speed_label"], entry["speed_value"]) == (
            thresholds.speed_label(rate),
            labels.speed_value(rate),
        )

    # The library tells when each of the command's words is said.
    alignment.main([str(out), "--jobs", "1"])
    paths = json.loads(alignment.words_of(out / "train-00000.npz").read_text())
    for entry, path, length in zip(meta, paths, np.diff(offsets), strict=True):
        places, times = zip(*path, strict=True)
        words = [entry["text"][a:b].strip() for a, b in itertools.pairwise(places)]
        assert words == entry["text"].split()
        assert places[-1] == len(entry["text"])
        assert list(times) == sorted(times)
        assert times[-1] <= length / labels.RATE

    # Only what is missing is made again, and it is the same.
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}
    (out / "train-00000.npz").unlink()
    render.main(arguments)
    with np.load(out / "train-00000.npz") as shard:
        np.testing.assert_array_equal(shard["samples"], samples)
    assert (out / "eval-00000.npz").stat().st_mtime_ns == before[out / "eval-00000.npz"][0]
    with pytest.raises(SystemExit, match="other sentences or settings"):
        render.main([*arguments, "--seed", "1"])
