"""Messages of screen readers: markup, marks, settings, names, and when marks are due."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spark_mlx.speechd import names, shaping
from spark_mlx.speechd.clips import Clip, Clips, trim
from spark_mlx.speechd.marks import Due, Pace
from spark_mlx.speechd.protocol import escape
from spark_mlx.speechd.settings import Options, Settings
from spark_mlx.speechd.ssml import LONGEST_BREAK, Mark, parse


def texts(message: str) -> list[str]:
    return [part.text for part in parse(message)]


def marks(message: str) -> list[tuple[str, str]]:
    """Each mark with the text before it."""
    return [
        (mark.name, part.text[: mark.position]) for part in parse(message) for mark in part.marks
    ]


# Markup.


def test_marks_keep_their_places() -> None:
    message = '<speak>One.<mark name="__spd_0"/> Two <mark name="4:9"/>three.</speak>'
    assert texts(message) == ["One. Two three."]
    assert marks(message) == [("__spd_0", "One."), ("4:9", "One. Two ")]


def test_entities_and_nested_markup() -> None:
    message = (
        '<?xml version="1.0"?><speak xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en">'
        '<prosody rate="fast">a &lt; <emphasis>b</emphasis> &amp; c</prosody>'
        '<mark name="x"/> &#20320;<sub alias="World Wide Web">WWW</sub></speak>'
    )
    assert texts(message) == ["a < b & c 你World Wide Web"]
    assert marks(message) == [("x", "a < b & c")]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('<speak>A <b>bold & <mark name="m"/>brave</speak>', "A bold & brave"),
        ("no markup at all & 3 < 4", "no markup at all & 3 < 4"),
        ("<speak>half", "half"),
        ("A<mark name='m'/>B&nbsp;C", "AB\xa0C"),
        ("<speak>bell\x07 and \x00nul</speak>", "bell and nul"),
        ("<speak>\ud800lone</speak>", "?lone"),
    ],
)
def test_what_is_no_xml_is_spoken_without_tags(message: str, expected: str) -> None:
    assert texts(message) == [expected]


def test_broken_xml_keeps_its_marks() -> None:
    message = "<speak>Tom & <mark name=\"1:2\"/>Jerry <mark name='b&amp;c'></mark>run"
    assert marks(message) == [("1:2", "Tom & "), ("b&c", "Tom & Jerry ")]


def test_entities_that_grow_are_not_expanded() -> None:
    entities = '<!ENTITY a0 "lol">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
    )
    (text,) = texts(f"<!DOCTYPE x [{entities}]><speak>Hello &a9;</speak>")
    assert "Hello" in text
    assert len(text) < 2000


def test_very_deep_markup_is_read() -> None:
    depth = 50_000
    (text,) = texts("<speak>" + "<p>" * depth + "deep" + "</p>" * depth + "</speak>")
    assert text == "deep"


def test_breaks_and_spelling_make_parts() -> None:
    parts = parse(
        '<speak>One<break time="250ms"/>two<break time="99s"/>'
        '<say-as interpret-as="characters">abc</say-as> three</speak>'
    )
    assert [(part.text, part.pause, part.spelled) for part in parts] == [
        ("One", 0.25, False),
        ("two", LONGEST_BREAK, False),
        ("abc", 0.0, True),
        (" three", 0.0, False),
    ]


def test_a_plain_text_that_the_server_takes_up_again() -> None:
    message = '<speak>&lt;speak&gt;You &amp;amp; me.<mark name="__spd_0"/> Bye.</speak>'
    assert texts(message) == ["You & me. Bye."]
    assert marks(message) == [("__spd_0", "You & me.")]


def test_a_message_without_anything() -> None:
    assert texts("<speak></speak>") == [""]


# Settings.


def test_rates_are_ratios() -> None:
    speeds = [Settings(rate=rate).speed for rate in (-100, -50, 0, 50, 100)]
    assert speeds == pytest.approx([0.5, 0.5**0.5, 1, 3**0.5, 3])


def test_settings_are_kept_in_their_ranges() -> None:
    settings = Settings().with_value("rate", "500").with_value("volume", "-100")
    assert settings.rate == 100
    assert settings.gain == 0
    assert Settings().gain == 1
    assert settings.with_value("synthesis_voice", "alice").synthesis_voice == "alice"
    assert settings.with_value("synthesis_voice", "NULL").synthesis_voice is None
    assert settings.with_value("colour", "blue") == settings
    for name, value in (("rate", "fast"), ("punctuation_mode", "many"), ("voice", "robot")):
        with pytest.raises(ValueError):
            settings.with_value(name, value)


@pytest.mark.parametrize(("language", "names_in"), [("zh-CN", "zh"), ("cmn", "zh"), ("de", "en")])
def test_languages_of_names(language: str, names_in: str) -> None:
    assert Settings(language=language).speech_language == names_in


def test_options_survive_bad_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "spark-mlx.conf"
    file.write_text(
        '# A comment\n\nVoice "alice"\nVoiceFemale1 "bob two"  # why not\nDaemon maybe\n'
        "Colour blue\nClips off\n(\n"
    )
    options = Options.load(str(file))
    assert options.voice == "alice"
    assert options.voice_types == {"female1": "bob two"}
    assert options.daemon and not options.clips
    assert [record.message.split(": ")[0][-6:] for record in caplog.records] == [
        "line 5",
        "line 6",
        "line 8",
    ]
    assert Options.load(str(tmp_path / "gone.conf")) == Options()


# Names.


@pytest.mark.parametrize(
    ("char", "english", "chinese"),
    [
        ("a", "A", "A"),
        (" ", "space", "空格"),
        (",", "comma", "逗号"),
        ("7", "seven", "七"),
        ("中", "中", "中"),
        ("☃", "snowman", "snowman"),
        ("ß", "ß", "ß"),
    ],
)
def test_characters_have_names(char: str, english: str, chinese: str) -> None:
    assert names.character(char, "en") == english
    assert names.character(char, "zh") == chinese


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("control_alt_a", "control alt A"),
        ("shift_prior", "shift page up"),
        ("kp-*", "keypad star"),
        ("F12", "F 12"),
        ("_", "underscore"),
        ("space", "space"),
        ("b", "B"),
        ("é", "É"),
        ("return", "return"),
    ],
)
def test_keys_have_names(key: str, name: str) -> None:
    assert names.key(key, "en") == name


def test_capitals_are_told_on_request() -> None:
    assert names.character("B", "en", capital=True) == "capital B"
    assert names.character("b", "en", capital=True) == "B"
    assert names.key("B", "zh", capital=True) == "大写 B"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_rehearsed_has_all_of_a_keyboard(language: str) -> None:
    known = set(names.known(language))
    for char in map(chr, range(32, 127)):
        assert names.character(char, language) in known, char
    for key in ("up", "prior", "backspace", "f5", "caps-lock", "kp-5"):
        assert names.key(key, language) in known, key


def test_the_servers_own_names_are_rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "LOCALES", tmp_path)
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "symbols.dic").write_text(
        "\ufeffsymbols:\n!\tbang\tall\n\\#\thash\tsome\n\\t\ttab\nword\tnot this\nπ\tnor this\n",
        encoding="utf-8",
    )
    known = set(names.known("en"))
    assert {"bang", "hash"} <= known
    assert not {"not this", "nor this"} & known


# Marks and time.


def test_marks_between_sentences_are_exact() -> None:
    text = "One two. Three four."
    due = Due(text, [Mark("start", 0), Mark("between", 8), Mark("end", 20)], Pace())
    assert list(due.before((0, 8), 0)) == ["start"]
    due.heard(100.0)  # far longer than anyone would guess
    assert list(due.before((0, 8), 0)) == []
    assert list(due.before((9, 20), 1)) == ["between"]
    due.heard(100.0)
    assert list(due.before((9, 20), 1)) == []
    assert list(due.rest()) == ["end"]


def test_marks_within_a_sentence_are_guessed_in_order() -> None:
    text = "abcdefghi " * 10
    pace = Pace()
    found: dict[int, list[int]] = {}
    for sentence in range(8):  # all of them of ten seconds, which the pace has to learn
        due = Due(text, [Mark(str(i), i) for i in range(0, 100, 10)], pace)
        found[sentence] = []
        for step in range(100):
            for _ in due.before((0, 100), 0):
                found[sentence].append(step)
            due.heard(0.1)
        list(due.rest())
    assert all(len(steps) == 10 and steps == sorted(steps) for steps in found.values())
    assert found[7] == pytest.approx(range(0, 100, 10), abs=5)
    assert found[0] != pytest.approx(range(0, 100, 10), abs=5)


# Samples.


def test_no_line_end_is_left_after_escaping() -> None:
    data = bytes(range(256)) * 2
    escaped = escape(data)
    assert b"\n" not in escaped
    assert escaped.count(b"\x7d") == 4
    assert escaped.replace(b"\x7d\x2a", b"\n").replace(b"\x7d\x5d", b"\x7d") == data


VOWEL = (8000 * np.sin(2 * np.pi * 200 * np.arange(32_000) / 16_000)).astype(np.int16)


def shaped(speed: float = 1.0, pitch: float = 1.0, gain: float = 1.0) -> np.ndarray:
    shaper = shaping.Shaper(16_000, speed, pitch, gain)
    parts = [shaper.process(VOWEL[i : i + 800], i + 800 >= 32_000) for i in range(0, 32_000, 800)]
    return np.concatenate(parts)


def pitch_of(samples: np.ndarray) -> float:
    middle = samples[2000:-2000].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum) * 16_000 / len(middle))


def test_samples_as_they_come_at_the_voices_own_shape() -> None:
    np.testing.assert_array_equal(shaped(), VOWEL)
    np.testing.assert_allclose(shaped(gain=0.5), VOWEL / 2, atol=0.51)


@pytest.mark.parametrize(
    ("speed", "pitch"), [(0.5, 1.0), (3.0, 1.0), (1.0, 2**0.5), (1.0, 2**-0.5), (2.0, 2**0.5)]
)
def test_speed_and_pitch_are_apart(speed: float, pitch: float) -> None:
    samples = shaped(speed, pitch)
    assert len(samples) == pytest.approx(32_000 / speed, rel=0.02)
    assert pitch_of(samples) == pytest.approx(200 * pitch, rel=0.02)


def test_clips_outlive_a_restart_and_damage(tmp_path: Path) -> None:
    clips = Clips(tmp_path / "clips")
    silence = np.zeros(8000, np.int16)
    clips.put("comma", Clip(np.concatenate([silence, VOWEL, silence]), 16_000), keep=True)
    clips.put("my secret", Clip(VOWEL, 16_000), keep=False)
    again = Clips(tmp_path / "clips")
    kept = again.get("comma")
    assert kept is not None and kept.rate == 16_000
    assert len(kept.samples) == pytest.approx(len(VOWEL), abs=400)  # with a breath around it
    assert clips.get("my secret") is not None
    assert again.get("my secret") is None
    (file,) = (tmp_path / "clips").iterdir()
    for damage in (b"", b"abc", b"\0" * 100):
        file.write_bytes(damage)
        assert Clips(tmp_path / "clips").get("comma") is None


def test_silence_has_no_edges_to_trim() -> None:
    nothing = np.zeros(100, np.int16)
    assert len(trim(nothing, 16_000)) == 100
