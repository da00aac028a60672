"""The screen reader's module over pipes: its protocol, how soon it speaks and how soon it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import AtMost
from daemon_stand import Card, need_portaudio
from spark_mlx import voices
from spark_mlx.tts import SparkTTS
from speechd_stand import Driven, module_command, sound

LONG = "This sentence is one of many that are never heard to the end. " * 100
CAPITALS = {"cap_let_recogn": "icon"}


def environment(home: Path, model: Path | str) -> dict[str, str]:
    return {
        **os.environ,
        "SPARK_MLX_HOME": str(home),
        "SPARK_MLX_MODEL": str(model),
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tts: SparkTTS) -> Path:
    """A home with a voice of each gender, and one of another codec."""
    folder = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.setenv("SPARK_MLX_HOME", str(folder))
    voices.save(tts.create_voice(gender="female", seed=3, name="Alice Two"))
    voices.save(tts.create_voice(gender="male", name="bob"))
    stranger = tts.create_voice(name="stranger")
    object.__setattr__(stranger, "codec", "f" * 64)
    voices.save(stranger)
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def shared(home: Path, model: Path) -> Iterator[Driven]:
    """One module for the tests that leave it as it was."""
    driven = Driven(module_command(), environment(home, model))
    driven.begin()
    yield driven
    assert driven.close() == 0
    assert b"Traceback" not in b"".join(driven.stderr)


@pytest.fixture
def module(shared: Driven) -> Driven:
    """That module, with the server's usual settings."""
    codes = shared.set(
        pitch=0,
        pitch_range=0,
        rate=0,
        volume=100,
        punctuation_mode="none",
        spelling_mode="off",
        cap_let_recogn="none",
        voice="male1",
        language="en-us",
        synthesis_voice="NULL",
    )
    assert codes == [203, 203]
    return shared


# Starting and ending.


def test_it_starts_at_once_and_leaves(tmp_path: Path, model: Path) -> None:
    driven = Driven(module_command(), environment(tmp_path, model))
    driven.begin()
    driven.send("LIST VOICES\n")
    driven.until(200)
    driven.send("QUIT\n")
    assert driven.next().text == "OK QUIT"
    assert driven.close() == 0
    assert driven.stderr == []


def test_without_a_model_it_says_so(tmp_path: Path) -> None:
    driven = Driven(module_command(), environment(tmp_path, tmp_path / "gone"))
    driven.send("INIT\n")
    event = driven.next()
    assert event.code == 399
    assert "gone" in event.lines[0]
    assert driven.process.wait(30) == 1
    driven.close()


def test_a_model_that_breaks_ends_the_module(tmp_path: Path, model: Path) -> None:
    # So that the server turns to another module, and the user is not left in silence.
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        if file.name != "lm.safetensors":
            (broken / file.name).symlink_to(file)
    driven = Driven(module_command(), environment(tmp_path, broken))
    driven.begin()
    driven.send("SPEAK\nHello.\n.\n")
    assert driven.next().code == 202
    codes = [driven.next().code]
    if codes == [200]:  # the model was still being loaded
        driven.until(703)
        driven.send("SPEAK\nHello again.\n.\n")
        codes = [driven.next().code for _ in range(2)]
    assert codes[-1] == 301
    assert driven.process.wait(30) == 1
    driven.close()
    assert b"lm.safetensors" in b"".join(driven.stderr)


def test_input_that_ends_in_the_middle(tmp_path: Path, model: Path) -> None:
    for start in ("", "IN", "INIT\nSPEAK\n<speak>never", "INIT\nSET\nrate=1\n"):
        driven = Driven(module_command(), environment(tmp_path, model))
        driven.send(start)
        assert driven.close() == 0


def test_ctrl_c_ends_it_in_order(tmp_path: Path, model: Path) -> None:
    for text in ("", LONG):
        driven = Driven(module_command(), environment(tmp_path, model))
        driven.begin()
        if text:
            driven.speak(text)
            driven.until(705)
        driven.process.send_signal(signal.SIGINT)
        assert driven.process.wait(20) == 130
        driven.close()
        assert driven.stderr == []


def test_it_ends_with_the_server(tmp_path: Path, model: Path, at_most: AtMost) -> None:
    driven = Driven(module_command(), environment(tmp_path, model), paced=1)
    driven.begin()
    driven.speak(LONG)
    driven.until(705)
    assert driven.process.stdout is not None
    began = time.monotonic()
    assert driven.close() == 0
    at_most(time.monotonic() - began, 15)


# Commands.


def test_voices_are_those_of_the_model(module: Driven) -> None:
    module.send("LIST VOICES\n")
    answer = module.next()
    assert answer.lines == tuple(
        f"{name}\t{language}\tnone"
        for name in ("default", "Alice Two", "bob")
        for language in ("en", "zh")
    )
    module.send("LIST VOICES zh-CN\n")
    assert len(module.next().lines) == 3
    module.send("LIST VOICES fr\n")
    assert module.next().code == 304


@pytest.mark.parametrize(
    ("request_", "codes"),
    [
        ("HELLO\n", [300]),
        ("\n", [300]),
        ("speak\n", [300]),
        ("LIST\n", [300]),
        (b"\xff\xfe\x00\n", [300]),
        ("X" * 100_000 + "\n", [300]),
        ("SET\nrate\n.\n", [203, 302]),
        ("SET\n=5\n.\n", [203, 302]),
        ("SET\nrate=\n.\n", [203, 302]),
        ("SET\nrate=fast\n.\n", [203, 303]),
        ("SET\nunknown=5\n.\n", [203, 203]),
        ("SET\n.\n", [203, 203]),
        ("LOGLEVEL\nlog_level=3\n.\n", [207, 203]),
        ("LOGLEVEL\nlog_level=x\n.\n", [207, 303]),
        ("LOGLEVEL\n.\n", [207, 303]),
        ("DEBUG\n", [302]),
        ("DEBUG ON\n", [302]),
        ("DEBUG ON /nowhere/at/all\n", [303]),
        ("DEBUG OFF\n", [200]),
        ("SPEAK\n.\n", [202, 301]),
        ("CHAR\na\nb\n.\n", [202, 305]),
        ("KEY\n.\n", [202, 301]),
        ("STOP\nPAUSE\nSTOP\nLIST VOICES\n", [200]),
    ],
)
def test_what_is_malformed_is_answered_as_the_protocol_says(
    module: Driven, request_: str | bytes, codes: list[int]
) -> None:
    module.send(request_)
    assert [module.next().code for _ in codes] == codes
    module.send("DEBUG OFF\n")  # and nothing more was written
    assert module.next().text == "OK DEBUGGING OFF"


def test_debugging_writes_a_file(module: Driven, tmp_path: Path) -> None:
    module.send(f"DEBUG ON {tmp_path / 'log.txt'}\n")
    assert module.next().code == 200
    module.send("SET\nrate=fast\n.\n")
    assert [module.next().code for _ in range(2)] == [203, 303]
    module.send("DEBUG OFF\n")
    assert module.next().code == 200
    assert "fast" in (tmp_path / "log.txt").read_text()


# Speech.


def test_a_message_with_marks(module: Driven) -> None:
    sentences = [f"This is sentence number {i}, and it is not short." for i in range(5)]
    text = "".join(f'{s}<mark name="__spd_{i}"/> ' for i, s in enumerate(sentences))
    events = module.spoken(f"<speak>{text}</speak>")
    assert events[0].code == 701
    assert events[-1].code == 702
    assert [e.text for e in events if e.code == 700] == [f"__spd_{i}" for i in range(5)]
    codes = "".join("m" if e.code == 700 else "a" if e.code == 705 else "" for e in events)
    assert "mm" not in codes  # sound between any two of them
    assert codes.startswith("a")
    assert all(e.rate == 16_000 for e in events if e.code == 705)


def test_a_mark_for_every_word(module: Driven) -> None:
    words = "these are the words of one sentence which a reader likes to follow".split()
    text = " ".join(f'<mark name="{i}:{i + 1}"/>{word}' for i, word in enumerate(words))
    events = module.spoken(f"<speak>{text}.</speak>")
    assert [e.text for e in events if e.code == 700] == [f"{i}:{i + 1}" for i in range(len(words))]


def test_dots_and_lines(module: Driven) -> None:
    # The server doubles a dot at the beginning of a line.
    events = module.spoken("One line\n..\n...and another.\n..5 more")
    assert events[-1].code == 702
    assert len(sound(events)) > 1000


@pytest.mark.parametrize(
    "text",
    [
        "?! … —",
        "<speak></speak>",
        "<speak> </speak>",
        '<speak><mark name="lonely"/></speak>',
        "\x07\x08",
        "<speak>" + "<p>" * 5000,
        "𝒳 🎉 \u202e rtl",
    ],
)
def test_strange_messages_end(module: Driven, text: str) -> None:
    events = module.spoken(text)
    assert (events[0].code, events[-1].code) == (701, 702)


def test_a_name_of_a_mark_cannot_break_the_protocol(module: Driven) -> None:
    events = module.spoken('<speak>Hello<mark name="a&#10;702 END"/> there.</speak>')
    assert [e.text for e in events if e.code == 700] == ["a 702 END"]
    assert events[-1].code == 702


def test_rate_and_volume_and_pitch(module: Driven) -> None:
    # The second time it is a clip, and so the same samples are shaped.
    module.spoken("page")
    plain = sound(module.spoken("page"))
    module.set(rate=100)
    fast = sound(module.spoken("page"))
    assert len(fast) == pytest.approx(len(plain) / 3, rel=0.2)
    module.set(rate=-100)
    assert len(sound(module.spoken("page"))) == pytest.approx(len(plain) * 2, rel=0.1)
    module.set(rate=0, volume=0)
    half = sound(module.spoken("page"))
    np.testing.assert_allclose(half, plain / 2, atol=0.51)
    module.set(volume=100, pitch=100)
    high = sound(module.spoken("page"))
    assert len(high) == pytest.approx(len(plain), rel=0.1)
    assert not np.array_equal(high[: len(plain)], plain[: len(high)])


def test_voices_differ(module: Driven) -> None:
    spoken = {}
    for settings in (
        {"synthesis_voice": "NULL"},
        {"synthesis_voice": "alice two"},  # the server may change the case
        {"synthesis_voice": "bob"},
        {"synthesis_voice": "nobody"},
        {"synthesis_voice": "NULL", "voice": "female1"},
        {"synthesis_voice": "NULL", "voice": "child_male"},
    ):
        module.set(**{"voice": "male1", **settings})
        spoken[tuple(settings.values())] = sound(module.spoken("Which voice is this one here?"))
    first = {key: samples.tobytes()[:2000] for key, samples in spoken.items()}
    assert first[("NULL",)] == first[("nobody",)] == first[("NULL", "child_male")]
    assert first[("alice two",)] == first[("NULL", "female1")]
    assert len(set(first.values())) == 3


def test_spelling_and_punctuation(module: Driven) -> None:
    module.set(spelling_mode="on")
    events = module.spoken('<speak>a<mark name="m"/>b</speak>')
    assert [e.text for e in events if e.code == 700] == ["m"]
    assert sound(events).size > 0
    module.set(spelling_mode="off", punctuation_mode="all")
    assert sound(module.spoken("?")).size > 0  # as its name
    module.set(punctuation_mode="none")
    assert sound(module.spoken("?")).size == 0


def test_characters_and_keys(module: Driven) -> None:
    for command, text in (("CHAR", "a"), ("CHAR", "space"), ("CHAR", "中"), ("KEY", "control_x")):
        events = module.spoken(text, command)
        assert events[-1].code == 702
        assert sound(events).size > 0
    small = sound(module.spoken("B", "CHAR"))
    module.set(**CAPITALS)
    beeped = sound(module.spoken("B", "CHAR"))
    assert len(beeped) == len(small) + 960
    assert len(sound(module.spoken("b", "CHAR"))) == len(small)


def test_sound_icons(tmp_path: Path, model: Path) -> None:
    icons = tmp_path / "icons"
    icons.mkdir()
    (icons / "message.wav").write_bytes(b"RIFF")
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    conf = tmp_path / "spark-mlx.conf"
    conf.write_text(f'SoundIconFolder "{icons}"\nClips off\n')
    driven = Driven([*module_command(), str(conf)], environment(tmp_path, model))
    driven.begin()
    events = driven.spoken("message", "SOUND_ICON")
    assert [e.text for e in events if e.code == 706] == [str(icons / "message.wav")]
    for name in ("new-mail", "../secret"):
        events = driven.spoken(name, "SOUND_ICON")
        assert not [e for e in events if e.code == 706]
        assert sound(events).size > 0
    driven.close()


# Stopping.


def test_a_hundred_stops(tmp_path: Path, model: Path, at_most: AtMost) -> None:
    driven = Driven(module_command(), environment(tmp_path, model), paced=1)
    driven.begin()
    lags = []
    for i in range(100):
        driven.speak(LONG)
        driven.until(705)
        time.sleep(0.003 * (i % 20))
        asked = driven.stop()
        events = driven.until(702, 703)
        assert events[-1].code == 703
        lags.append(max([e.time for e in events if e.code == 705], default=asked) - asked)
        at_most(events[-1].time - asked, 1)
    driven.close()
    median, worst = sorted(lags)[50], max(lags)
    print(f"stop to last sound: median {median * 1000:.1f} ms, worst {worst * 1000:.1f} ms")
    at_most(median, 0.1)
    at_most(worst, 0.5)  # 0.1, on a machine that does nothing else


def test_a_storm_of_stops(module: Driven) -> None:
    for _ in range(20):
        module.speak(LONG)
        module.send("STOP\n" * 50)
        assert module.until(702, 703, 704)[-1].code == 703
    module.send("STOP\n" * 1000)
    assert module.silent(0.3)
    assert module.spoken("Still here.")[-1].code == 702


def test_a_pause_ends_at_a_mark_of_the_server(module: Driven) -> None:
    module.speak("<speak>" + LONG + "</speak>")
    module.until(705)
    module.send("PAUSE\n")
    events = module.until(702, 703, 704)
    assert events[-1].code == 704
    # Before any mark was passed, it goes on from the beginning.
    assert (events[-2].code, events[-2].text) == (700, "__spd_-1")
    # Silence goes before it, lest the server passes it before it halts.
    silence = events[-3].samples
    assert silence is not None and silence.size and not silence.any()
    marked = LONG.replace(". ", '.<mark name="__spd_7"/> ')
    module.speak(f"<speak>{marked}</speak>")
    module.until(700)
    module.send("PAUSE\n")
    events = module.until(702, 703, 704)
    assert (events[-2].text, events[-1].code) == ("__spd_7", 704)


def test_a_message_while_another_is_spoken_is_refused(module: Driven) -> None:
    module.speak(LONG)
    module.send("SPEAK\nMe too.\n.\n")
    events = module.until(301)
    assert 202 in [e.code for e in events]
    module.send("LIST VOICES\n")
    assert module.until(200)[-1].text == "OK VOICE LIST SENT"
    module.send("STOP\n")
    assert module.until(702, 703)[-1].code == 703


def test_answers_come_between_sound_and_whole(module: Driven) -> None:
    module.speak(LONG)
    module.until(705)
    module.send("LIST VOICES\nHELLO\nSET\nrate=0\n.\n" * 100)
    codes: list[int] = []
    sounds = 0
    while len(codes) < 400:
        event = module.next()
        sounds += event.code == 705
        if event.code < 700:
            codes.append(event.code)
    assert codes == [200, 300, 203, 203] * 100
    module.send("STOP\n")
    assert module.until(702, 703)[-1].code == 703
    assert sounds > 0


# The daemon.


class Daemon:
    """A daemon with a home."""

    def __init__(self, home: Path, model: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spark_mlx", "daemon"],
            env=environment(home, model),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if b"ready" in line:
                return
        raise AssertionError("the daemon has ended")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def daemon(tmp_path: Path, model: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path, model)
    yield daemon
    daemon.kill()


TEXT = "This is spoken by somebody. Whoever it is, it has to sound the same."


def test_the_daemon_speaks_when_it_runs(
    daemon: Daemon, tmp_path: Path, model: Path, module: Driven, at_most: AtMost
) -> None:
    broken = tmp_path / "model"  # so that nobody else can
    broken.mkdir()
    (broken / "config.json").write_bytes((model / "config.json").read_bytes())
    driven = Driven(module_command(), environment(tmp_path, broken))
    driven.begin()
    there = sound(driven.spoken(TEXT))
    np.testing.assert_allclose(there, sound(module.spoken(TEXT)), atol=1)
    asked = driven.speak(LONG)
    first = next(e for e in driven.until(705) if e.code == 705)
    print(f"to first sound through the daemon: {(first.time - asked) * 1000:.0f} ms")
    asked = driven.stop()
    at_most(driven.until(703)[-1].time - asked, 0.5)
    assert sound(driven.spoken("a", "CHAR")).size > 0
    assert driven.close() == 0


def test_a_daemon_that_dies_in_the_middle(daemon: Daemon, tmp_path: Path, model: Path) -> None:
    driven = Driven(module_command(), environment(tmp_path, model), paced=5)
    driven.begin()
    sentences = [f"This is sentence number {i}, and it is not short." for i in range(12)]
    text = "".join(f'{s}<mark name="__spd_{i}"/> ' for i, s in enumerate(sentences))
    driven.speak(f"<speak>{text}</speak>")
    events = driven.until(700)
    daemon.process.kill()
    driven.flush()
    events += driven.until(702, 703)
    assert events[-1].code == 702
    assert [e.text for e in events if e.code == 700] == [f"__spd_{i}" for i in range(12)]
    assert driven.spoken("And on.")[-1].code == 702
    driven.close()


# A server that does not play.


def test_it_plays_by_itself_where_the_server_does_not(
    tmp_path: Path, model: Path, at_most: AtMost
) -> None:
    need_portaudio()
    card = Card(tmp_path, speed=4)
    driven = Driven(
        module_command(), {**environment(tmp_path, model), "ALSA_CONFIG_PATH": str(card.config)}
    )
    driven.begin("alsa")
    began = time.monotonic()
    events = driven.spoken('<speak>Hello there.<mark name="__spd_0"/> And on we go.</speak>')
    assert [e.code for e in events] == [701, 700, 702]
    assert card.sounded > began
    assert sound(driven.spoken("a", "CHAR")).size == 0
    driven.speak(LONG)
    assert driven.next().code == 701
    card.wait_for_sound(time.monotonic())
    driven.send("STOP\n")
    asked = time.monotonic()
    assert driven.until(702, 703)[-1].code == 703
    time.sleep(0.5)
    print(f"from stop to silence on the card: {(card.sounded - asked) * 1000:.0f} ms")
    at_most(card.sounded - asked, 0.4)
    driven.speak(f"<speak>{LONG}</speak>")
    assert driven.next().code == 701
    driven.send("PAUSE\n")
    assert driven.until(702, 703, 704)[-1].code == 704
    assert driven.close() == 0
    card.close()


def test_without_a_device_the_server_is_told(tmp_path: Path, model: Path) -> None:
    nowhere = tmp_path / "asound.conf"
    nowhere.write_text("pcm.!default { type hw card 99 }\nctl.!default { type hw card 99 }\n")
    driven = Driven(
        module_command(), {**environment(tmp_path, model), "ALSA_CONFIG_PATH": str(nowhere)}
    )
    driven.send("INIT\nAUDIO\naudio_output_method=alsa\n.\n")
    assert [driven.next().code for _ in range(2)] == [299, 207]
    told = driven.next()
    assert told.code == 300
    assert "device" in told.lines[0]
    driven.close()


# How soon.


def test_characters_and_keys_answer_at_once(home: Path, model: Path, at_most: AtMost) -> None:
    driven = Driven(module_command(), environment(home, model))
    driven.begin()
    driven.set(language="en")
    for char in "abc":
        driven.spoken(char, "CHAR")  # from now on they are clips
    driven.spoken("up", "KEY")
    lags = []
    for text, command in [("a", "CHAR"), ("b", "CHAR"), ("c", "CHAR"), ("up", "KEY")] * 10:
        asked = driven.speak(text, command)
        events = driven.until(702)
        lags.append(next(e.time for e in events if e.code == 705) - asked)
    driven.close()
    median, worst = sorted(lags)[20], max(lags)
    print(f"to first sound: median {median * 1000:.1f} ms, worst {worst * 1000:.1f} ms")
    at_most(median, 0.03)


def test_the_keyboard_is_rehearsed_and_kept(tmp_path: Path, model: Path) -> None:
    driven = Driven(module_command(), environment(tmp_path, model))
    driven.begin()
    latest = time.monotonic() + 60
    while len(list(tmp_path.glob("clips/*/*.pcm"))) < 12 and time.monotonic() < latest:
        time.sleep(0.1)
    first = sound(driven.spoken("A", "CHAR"))
    driven.close()
    again = Driven(module_command(), environment(tmp_path, model))
    again.begin()
    # The very first message, while the model is still being loaded.
    time.sleep(0.2)
    assert np.array_equal(sound(again.spoken("A", "CHAR")), first)
    again.close()


def test_speech_begins_before_it_is_all_made(module: Driven) -> None:
    asked = module.speak(LONG)
    first = next(e for e in module.until(705) if e.code == 705)
    module.send("STOP\n")
    module.until(703)
    print(f"to first sound of a long text: {(first.time - asked) * 1000:.0f} ms")
    assert first.time - asked < 3  # all of it takes longer
