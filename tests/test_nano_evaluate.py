"""What judges nano is judged here: on what is right, and on what is wrong in a known way."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from conftest import ROOT
from spark_mlx.errors import GenerationError, SparkError
from spark_mlx.generation import checks
from spark_mlx.generation.labels import LEVELS
from spark_mlx.speech import Speech

sys.path.insert(0, str(ROOT / "examples" / "nano"))

import clips
import ear
import evaluate
import labels
import trials
from clips import Clip

RATE = labels.RATE
hears = pytest.mark.skipif(
    shutil.which("espeak-ng") is None or importlib.util.find_spec("pocketsphinx") is None,
    reason="espeak-ng or pocketsphinx is not installed",
)
draws = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)

TEXTS = (
    "The old king walked home in the rain.",
    "Nobody had seen the green boat again.",
    "Seven children sang under the bridge.",
    "She opened the window and called him.",
    "Bread and cold water were all they had.",
    "My number is four nine two eight three.",
)


def pulses(hertz: float, seconds: float = 1.0, formant: float = 600.0) -> np.ndarray:
    """A voice of a sort: a pulse train through one formant."""
    train = np.diff(np.floor(hertz * np.arange(int(seconds * RATE)) / RATE), prepend=-1.0)
    n = np.arange(160)
    ring = np.exp(-n / 25) * np.cos(2 * np.pi * formant / RATE * n)
    return (0.3 * np.convolve(train, ring)[: len(train)]).astype(np.float32)


def babble(seed: int, hertz: float = 120.0, slower: float = 1.0) -> np.ndarray:
    """A sentence of a sort: the same ten vowels for the same seed."""
    rng = np.random.default_rng(seed)
    formants, lengths = rng.uniform(300, 3000, 10), rng.uniform(0.08, 0.25, 10)
    return np.concatenate(
        [pulses(hertz, slower * length, f) for f, length in zip(formants, lengths, strict=True)]
    )


def clip(text: str, samples: np.ndarray, **meta: Any) -> Clip:
    whole = {
        "id": f"eval-{text}", "text": text, "voice": "en-us+m4", "gender": "male",
        "pitch_setting": 50, "speed_setting": 160, "syllables": 9,
        "seconds": len(samples) / RATE,
    }  # fmt: skip
    return Clip(samples.astype(np.float32), whole | meta)


def noise(samples: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).normal(size=len(samples)).astype(np.float32) * 0.1


# The ears


def test_a_sentence_is_known_in_another_voice_and_at_another_speed() -> None:
    references = [ear.mfcc(babble(seed)) for seed in range(12)]
    for hertz, slower in ((120, 1.0), (180, 1.0), (120, 1.8), (90, 0.6)):
        found = [
            int(ear.distances(ear.mfcc(babble(seed, hertz, slower)), references).argmin())
            for seed in range(12)
        ]
        assert found == list(range(12))


def test_distances() -> None:
    a, b = (ear.mfcc(babble(seed)) for seed in (0, 1))
    same, other = ear.distances(a, [a, b])
    assert same == pytest.approx(0, abs=1e-6)
    assert other > 1
    assert ear.distances(b, [a])[0] == pytest.approx(other)
    # Neither loudness nor silence around it counts.
    padded = np.pad(3.0 * babble(0), 4000)
    assert ear.distances(ear.mfcc(padded), [a])[0] < 0.25 * other


def test_distances_are_those_of_the_plain_recursion() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ear.FRAMES, 3))
    cost = np.linalg.norm(a[:, None] - b[None], axis=2)
    best = np.full((ear.FRAMES + 1, ear.FRAMES + 1), np.inf)
    best[0, 0] = 0
    for i in range(ear.FRAMES):
        for j in range(max(0, i - ear.BAND), min(ear.FRAMES, i + ear.BAND + 1)):
            steps = (best[i, j + 1] + cost[i, j], best[i + 1, j] + cost[i, j])
            best[i + 1, j + 1] = min(*steps, best[i, j] + 2 * cost[i, j])
    assert ear.distances(a, [b])[0] == pytest.approx(best[-1, -1] / (2 * ear.FRAMES))


def test_short_sounds_have_features() -> None:
    for samples in (np.zeros(0), np.zeros(100), np.ones(50), noise(np.zeros(399))):
        features = ear.mfcc(samples)
        assert features.shape == (1, 2 * ear.CEPSTRA)
        assert np.isfinite(ear.distances(features, [ear.mfcc(babble(0))])).all()


def test_words() -> None:
    assert ear.words("Fear not, I won't; a non-combatant.") == [
        "fear", "not", "i", "won't", "a", "non", "combatant",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("copy", "share"),
    [
        (pulses(130), "kept"),
        (0.2 * pulses(133), "kept"),
        (pulses(130) + 0.1 * noise(pulses(130)), "kept"),
        (pulses(145), "other"),
        (pulses(65), "other"),
        (noise(pulses(130)), "lost"),
        (np.zeros(RATE), "lost"),
        (np.zeros(0), "lost"),
    ],
)
def test_pitch_that_is_kept(copy: np.ndarray, share: str) -> None:
    found = ear.f0_kept(pulses(130), copy)
    assert found.voiced > 90
    assert found.kept + found.other + found.lost == found.voiced
    assert getattr(found, share) > 0.95 * found.voiced


# What is judged by


def test_sentences_are_chosen_by_length_and_order() -> None:
    made = [
        clip(text, babble(0), syllables=count)
        for text, count in (
            ("one long", 20), ("known a", 12), ("known b", 11), ("known B!", 11), ("odd", 11),
            ("known c", 9), ("known d", 13), ("known e", 10),
        )
    ]  # fmt: skip
    known = set("one long known a b c d e".split())
    assert [c.text for c in clips.choose(made, known, 3)] == ["known a", "known b", "known e"]
    # Of "known c" and "known d", both 2 syllables off, the first.
    assert "known c" in [c.text for c in clips.choose(made, known, 4)]
    with pytest.raises(SparkError, match="only 6 sentences"):
        clips.choose(made, known, 7)


def test_references_are_other_sentences() -> None:
    made = [clip(text, babble(i), seconds=2.0) for i, text in enumerate(TEXTS)]
    drawn = clips.references(made, made, 0)
    assert all(a.text != b.text for a, b in zip(made, drawn, strict=True))
    assert [c.text for c in clips.references(made, made, 0)] == [c.text for c in drawn]
    assert [c.text for c in clips.references(made, made, 1)] != [c.text for c in drawn]
    short = [clip("short", babble(0), seconds=1.0)]
    assert all(c.text != "short" for c in clips.references(made, made + short, 0))
    with pytest.raises(SparkError, match="to clone a voice from"):
        clips.references(made[:1], made[:1], 0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """A voice of the fake speakers: what it was made of."""

    gender: str = "male"
    pitch: str = "moderate"
    speed: str = "moderate"
    seed: int = 0
    source: Any = None


class Fake:
    """A speaker that says what it is told to; `spoil` alters each voice of a level."""

    def __init__(self, spoil: Callable[[Settings], tuple[float, float]] | None = None) -> None:
        self._spoil = spoil

    def clone(self, source: Any, transcript: str | None = None) -> Any:
        return Settings(source=source)

    def create_voice(
        self,
        gender: str = "female",
        pitch: str = "moderate",
        speed: str = "moderate",
        *,
        seed: int = 0,
    ) -> Any:
        return Settings(gender, pitch, speed, seed)

    def say(self, text: str, voice: Any = None, *, seed: int = 0) -> Speech:
        higher, slower = (1.0, 1.0) if self._spoil is None else self._spoil(voice)
        f0 = {"female": 180, "male": 90}[voice.gender] * 1.15 ** LEVELS.index(voice.pitch)
        length = 2.0 * 0.8 ** LEVELS.index(voice.speed)
        return Speech(pulses(higher * f0, slower * length), RATE)


def test_levels_that_rise_pass() -> None:
    made = [clip(text, babble(0)) for text in TEXTS[:2]]
    pitch, speed = (
        trial(Fake(), made, 3) for trial in (trials.pitch_follows, trials.speed_follows)
    )
    assert (pitch.passed, speed.passed) == (True, True)
    assert pitch.reached.startswith("3 of 3 seeds")
    assert pitch.numbers["hertz"][0]["male"][0] == pytest.approx(90, rel=0.02)
    assert speed.numbers["rates"][0][0] == pytest.approx(9 / 2.0, rel=0.02)


def test_levels_that_do_not_rise_fail() -> None:
    def spoil(voice: Settings) -> tuple[float, float]:
        wrong = (voice.seed, voice.pitch, voice.gender) == (0, "high", "male")
        return (0.8 if wrong else 1.0), (1.6 if (voice.seed, voice.speed) == (1, "high") else 1.0)

    made = [clip(text, babble(0)) for text in TEXTS[:2]]
    pitch = trials.pitch_follows(Fake(spoil), made, 2)
    assert (pitch.passed, pitch.numbers["right"], pitch.numbers["above"]) == (False, 1, 2)
    speed = trials.speed_follows(Fake(spoil), made, 2)
    assert (speed.passed, speed.numbers["right"]) == (False, 1)
    low = trials.pitch_follows(
        Fake(lambda voice: (0.45 if voice.gender == "female" else 1.0, 1.0)), made, 1
    )
    assert (low.passed, low.numbers["rising"], low.numbers["above"]) == (False, 1, 0)


class Stub:
    """espeak-ng's place: every sentence takes as long as `Fake` takes at moderate speed."""

    def like(self, source: Clip, text: str) -> np.ndarray:
        return pulses(100, 2.0 * 0.8**2)


@pytest.mark.parametrize(
    ("fault", "passed", "counts"),
    [
        (None, True, (0, 0, 0)),
        ("redrawn", False, (0, 0, 3)),
        ("cut off", False, (1, 0, 1)),
        ("empty", False, (0, 1, 1)),
        ("silent", False, (0, 1, 0)),
    ],
)
def test_endings(fault: str | None, passed: bool, counts: tuple[int, int, int]) -> None:
    log = logging.getLogger(trials.PIPELINE_LOG)

    class Faulty(Fake):
        def say(self, text: str, voice: Any = None, *, seed: int = 0) -> Speech:
            speech = super().say(text, voice, seed=seed)
            if fault == "redrawn" and seed < 3:
                log.info("seed %d: %s in %r", seed, "nothing but silence", text)
            if fault in ("cut off", "empty") and seed == 0:
                for _ in range(3):
                    log.info("seed %d: %s in %r", seed, "no end, and was cut off,", text)
            if seed == 0 and fault == "empty":
                raise GenerationError("nothing")
            if seed == 0 and fault == "cut off":
                speech = dataclasses.replace(speech, warnings=("no end",))
            if seed == 0 and fault == "silent":
                speech = Speech(np.zeros(RATE, np.float32), RATE)
            return speech

    made = [clip(f"{text} {i}", babble(i), seconds=2.0) for i in range(20) for text in TEXTS[:5]]
    figure, length = trials.endings(Faulty(), made, Stub())  # type: ignore[arg-type]
    found = tuple(figure.numbers[name] for name in ("cut_off", "empty", "retried"))
    assert (figure.passed, found) == (passed, counts)
    assert length.passed
    assert log.level == logging.NOTSET
    assert not log.handlers


def test_lengths_are_compared() -> None:
    made = [clip(text, babble(i), seconds=2.0) for i, text in enumerate(TEXTS)]
    slow = Fake(lambda voice: (1.0, 3.0))
    assert not trials.endings(slow, made, Stub())[1].passed  # type: ignore[arg-type]
    assert trials.lines_end(slow, made, Stub()).numbers["far_off"] == 3  # type: ignore[arg-type]


def test_the_pipeline_logs_what_is_counted() -> None:
    """The words that `endings` looks for, in the pipeline's own source."""
    source = Path(trials.__file__).parents[2] / "spark_mlx" / "tts.py"
    assert '"seed %d: %s in %r"' in source.read_text(encoding="utf-8")


def test_table() -> None:
    figures = [
        trials.Figure("a", "1 %", "≥ 2 %", False, {}),
        trials.Figure("b", "x", "y", True, {}),
    ]
    assert evaluate.markdown(figures).splitlines()[2:] == [
        "| a | 1 % | ≥ 2 % | no |",
        "| b | x | y | yes |",
    ]


# With espeak-ng and pocketsphinx


class Parrot:
    """A perfect cloner: espeak-ng itself, in the voice that a clip was made with."""

    def __init__(self, pool: list[Clip], espeak: clips.Espeak, spoil: Callable[..., Any]) -> None:
        self._pool, self._espeak, self._spoil = pool, espeak, spoil

    def clone(self, source: Any, transcript: str | None = None) -> Any:
        return next(c for c in self._pool if c.samples is source[0])

    def create_voice(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def say(self, text: str, voice: Any = None, *, seed: int = 0) -> Speech:
        return Speech(self._spoil(self._espeak.like(voice, text)), RATE)


def as_it_is(samples: np.ndarray) -> np.ndarray:
    return samples


def higher(samples: np.ndarray) -> np.ndarray:
    """Played a quarter faster."""
    return soxr.resample(samples, 1.25 * RATE, RATE)


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Clip], clips.Espeak, Any]:
    espeak = clips.Espeak(tmp_path_factory.mktemp("espeak"))
    made = []
    for i, text in enumerate(TEXTS):
        voice, gender = (("en-us+f4", "female"), ("en+m8", "male"))[i % 2]
        sound = espeak(text, gender, voice, 40 + 5 * i, 140 + 20 * i)
        settings = {"pitch_setting": 40 + 5 * i, "speed_setting": 140 + 20 * i}
        made.append(clip(text, sound, voice=voice, gender=gender, **settings))
    return made, espeak, trials.Jury(made, espeak)


@hears
@pytest.mark.parametrize(
    ("spoil", "passed"),
    [(as_it_is, [True] * 4), (higher, [None, None, False, False]), (noise, [False] * 4)],
)
def test_words_and_clones(judges: Any, spoil: Any, passed: list[bool | None]) -> None:
    made, espeak, jury = judges
    parrot = Parrot(made, espeak, spoil)
    figures, said = trials.words_and_clones(parrot, made, made, jury, espeak, 6)
    assert len(said) == len(made)
    for figure, wanted in zip(figures, passed, strict=True):
        assert wanted is None or figure.passed == wanted, figure


@hears
def test_a_codec_that_keeps_all_or_nothing(judges: Any) -> None:
    made, _, jury = judges

    class Mirror:
        """A codec whose tokens are the samples."""

        def __init__(self, spoil: Any) -> None:
            self._spoil = spoil

        def encode(self, samples: np.ndarray) -> Any:
            return type("Codes", (), {"global_tokens": None, "semantic_tokens": samples})

        def decode(self, _: Any, samples: np.ndarray) -> np.ndarray:
            return self._spoil(samples)

    for spoil, passed in ((as_it_is, True), (noise, False)):
        figures = trials.codec_alone(Mirror(spoil), made, jury)  # type: ignore[arg-type]
        assert [figure.passed for figure in figures] == [passed] * 3


@hears
def test_espeak_is_asked_once(judges: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, espeak, _ = judges
    before = espeak.like(made[0], TEXTS[0])
    monkeypatch.setenv("PATH", "")
    np.testing.assert_array_equal(espeak.like(made[0], TEXTS[0]), before)


@hears
def test_unknown_words_are_refused() -> None:
    with pytest.raises(SparkError, match="does not know 'xyzzyx'"):
        ear.Recogniser(["The word is xyzzyx."])


@pytest.fixture
def folder(tmp_path: Path, judges: Any) -> Path:
    """A shard to judge with."""
    made = judges[0]
    sounds = [np.rint(c.samples * 32767).astype(np.int16) for c in made]
    np.savez(
        tmp_path / "eval-00000.npz",
        samples=np.concatenate(sounds),
        offsets=np.cumsum([0, *map(len, sounds)], dtype=np.int64),
        meta=np.array([json.dumps(c.meta) for c in made]),
    )
    return tmp_path


@hears
@pytest.mark.parametrize("codec_only", [False, True])
def test_everything_runs(
    folder: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    codec_only: bool,
) -> None:
    monkeypatch.setattr(checks, "MAX_TOKENS", 30)  # what random weights say does not end
    monkeypatch.setattr(trials, "QUICK", trials.Scale(6, 2, 1, 1, 2, 1, 1))
    arguments = [str(model), str(folder), str(folder / "out" / "e.json"), "--quick"]
    evaluate.main([*arguments, *(["--codec-only"] if codec_only else [])])
    report = json.loads((folder / "out" / "e.json").read_text())
    assert len(report["figures"]) == (3 if codec_only else 13)
    assert [row["text"] for row in report["sentences"]] == list(TEXTS)
    table = capsys.readouterr().out
    written = (folder / "out" / "e.md").read_text()
    assert written.startswith(table)
    assert "0. The old king" in written
    # Random weights say nothing; who would pass them has no ears.
    assert "| no |" in table


@hears
def test_what_is_missing_is_named(folder: Path, model: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*no eval-"):
        evaluate.main([str(model), str(folder / "none"), str(folder / "e.json")])


# Pictures


@draws
def test_curves(tmp_path: Path) -> None:
    import loop
    import pictures

    curve = loop.Curve(tmp_path / "c.csv", 0)
    for step in range(1, 800):
        values = {"loss": 2 / step, "norm": 1.0} | ({"codes": 9.0} if step > 400 else {})
        curve.add(step, 1.5 * step, "train", values)
        if step % 100 == 0:
            curve.add(step, 1.5 * step, "valid", {"loss": 3 / step})
    found = pictures.read_curves(tmp_path / "c.csv")
    assert found["loss"]["valid"].shape == (7, 3)
    assert found["codes"]["train"][0].tolist() == [401, pytest.approx(1.5 * 401 / 3600, 1e-3), 9]
    for name in ("a", "b"):
        pictures.main(["curves", str(tmp_path / "c.csv"), str(tmp_path / f"{name}.svg")])
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    assert len(drawn) < 60_000
    assert all(f">{name}<" in drawn for name in ("loss", "codes", "train", "valid"))
    assert ">norm<" not in drawn


@draws
def test_spectrogram_shows_a_tone_where_it_is() -> None:
    import pictures

    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    level = pictures.decibels(tone, 512, 160)
    assert level.shape == (1 + RATE // 160, 1025)
    assert level[50].argmax() * RATE / 2048 == 1000
    assert level[50].max() == pytest.approx(0, abs=0.1)
    assert level[50, 600] < -60


@draws
@hears
def test_spectrograms(folder: Path, model: Path) -> None:
    import pictures

    words = ["spectrograms", str(model), str(folder), str(folder / "s.png")]
    clip_id = f"eval-{TEXTS[1]}"
    pictures.main([*words, "--clip", clip_id])
    whole = (folder / "s.png").stat().st_size
    pictures.main([*words, "--clip", clip_id, "--codec-only"])
    assert 10_000 < (folder / "s.png").stat().st_size < whole
    with pytest.raises(SystemExit, match="no clip 'eval-x'"):
        pictures.main([*words, "--clip", "eval-x"])
