"""The real daemon over a real socket: order, faults, stops, and who may talk to it."""

from __future__ import annotations

import argparse
import base64
import errno
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import AtMost
from daemon_stand import Card, Daemon, Socket, need_portaudio
from spark_mlx import voices
from spark_mlx.cli.daemon import say_through_daemon
from spark_mlx.cli.parser import build_parser
from spark_mlx.daemon import address, protocol, server, session
from spark_mlx.daemon.address import Address, default_path, dial, xucred_uid
from spark_mlx.daemon.client import Client, connect
from spark_mlx.daemon.server import Server
from spark_mlx.errors import DaemonError, PlaybackError, TextError, VoiceError
from spark_mlx.speech_queue.events import Event, EventDispatcher

LONG = "This sentence goes on for quite some time, until it ends. " * 200
Start = Callable[..., Daemon]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")


@pytest.fixture(scope="module")
def card(folder: Path) -> Iterator[Card]:
    """A card that plays twenty times as fast as it should."""
    need_portaudio()
    card = Card(folder, 20)
    yield card
    card.close()


@pytest.fixture(scope="module")
def playing(folder: Path, model: Path, card: Card) -> Iterator[Daemon]:
    """A daemon that plays."""
    daemon = Daemon(folder / "playing", model, card)
    yield daemon
    assert daemon.end() == ""


@pytest.fixture(scope="module")
def mute(folder: Path, model: Path) -> Iterator[Daemon]:
    """A daemon on a machine that has no device."""
    need_portaudio()
    daemon = Daemon(folder / "mute", model, None)
    yield daemon
    assert daemon.end() == ""


@pytest.fixture
def start(tmp_path: Path, model: Path) -> Iterator[Start]:
    """Starts daemons of a test's own."""
    started: list[Daemon] = []

    def start(*options: str, card: Card | None = None) -> Daemon:
        started.append(Daemon(tmp_path / "h", model, card, options))
        return started[-1]

    yield start
    for daemon in started:
        if daemon.process.stderr is not None and not daemon.process.stderr.closed:
            daemon.end()


def client_of(daemon: Daemon) -> Client:
    client = connect(daemon.path)
    assert client is not None
    return client


# Speech.


def test_events_of_an_utterance(playing: Daemon) -> None:
    text = "这是第一句。 And this is the second one!"
    with client_of(playing) as client:
        events = list(client.say(text))
    assert [event.kind for event in events] == ["begin", "sentence", "sentence", "end"]
    assert [text[slice(*event.span)] for event in events] == [event.text for event in events]


def test_two_hundred_texts_of_two_clients(playing: Daemon) -> None:
    heard: list[Event] = []
    with client_of(playing) as watcher, client_of(playing) as one, client_of(playing) as other:
        watcher.subscribe(heard.append)
        said = [(client.say(f"{i}."), i) for i in range(100) for client in (one, other)]
        for number, i in said:
            events = list(number)
            assert [event.kind for event in events] == ["begin", "sentence", "end"]
            assert {event.utterance for event in events} == {number}
            assert events[0].text == f"{i}."
    numbers = [number for number, _ in said]
    assert numbers == sorted(numbers)
    watched = [event.utterance for event in heard if event.kind == "sentence"]
    assert watched == [n for n in numbers if n <= watched[-1]]
    assert len(watched) >= 199  # the last events may still be on their way


def test_now_stop_pause_skip(playing: Daemon) -> None:
    with client_of(playing) as client:
        first = client.say(LONG)
        second = client.say(LONG, now=True)
        assert list(first)[-1].kind == "stopped"
        client.pause()
        assert client.status()["paused"]
        client.resume()
        client.skip(150)
        events = iter(second)
        assert next(event for event in events if event.sentence >= 150).span[0] > LONG.index(
            "it ends."
        )
        client.skip(10_000)
        assert list(events)[-1].kind == "end"
        third, fourth = client.say(LONG), client.say(LONG)
        client.stop(fourth)
        assert [event.kind for event in fourth] == ["stopped"]
        client.stop()
        assert list(third)[-1].kind == "stopped"
        assert client.status()["queued"] == 0


def test_settings(playing: Daemon) -> None:
    with client_of(playing) as client:
        client.rate, client.volume = 1.5, 0.5
        assert (client.rate, client.volume) == (1.5, 0.5)
        with pytest.raises(PlaybackError, match="give"):
            client.rate = 17
        client.rate, client.volume = 1.0, 1.0
        assert client.voices() == voices.names()
        status = client.status()
        assert status["loaded"] and status["pid"] == playing.process.pid
        assert status["model"] == playing.environment["SPARK_MLX_MODEL"]


def test_refusals_have_their_class(playing: Daemon) -> None:
    with client_of(playing) as client:
        with pytest.raises(TextError, match="nothing to say"):
            client.say("?!")
        with pytest.raises(TextError, match="empty"):
            client.synthesize("")
        with pytest.raises(VoiceError, match="nobody"):
            client.say("Hi.", voice="nobody")
        with pytest.raises(VoiceError, match=str(Path.cwd())):
            client.say("Hi.", voice="mine.npz")  # as seen from here


# Synthesis.


def test_synthesize(playing: Daemon) -> None:
    text = "One sentence is here. Another one is there."
    with client_of(playing) as client:
        sounds = list(client.synthesize(text))
        assert client.sample_rate == 16_000
        again = np.concatenate([samples for samples, *_ in client.synthesize(text)])
        fast = sum(len(samples) for samples, *_ in client.synthesize(text, rate=2))
    assert [text[slice(*span)] for _, span, _ in sounds][-1] == "Another one is there."
    assert {sentence for *_, sentence in sounds} == {0, 1}
    whole = np.concatenate([samples for samples, *_ in sounds])
    assert whole.dtype == np.int16
    assert np.array_equal(whole, again)
    assert fast == pytest.approx(len(whole) / 2, rel=0.05)


def test_synthesize_beside_playback(playing: Daemon) -> None:
    with client_of(playing) as client:
        number = client.say(LONG)
        events = iter(number)
        next(events)
        assert sum(len(samples) for samples, *_ in client.synthesize("Words.")) > 0
        assert client.status()["utterance"] == number
        client.stop()


def test_a_slow_taker_of_audio_is_waited_for(playing: Daemon) -> None:
    text = "Speech for someone who takes his time with it. " * 30
    with playing.socket() as slow:
        assert slow.ask(do="synthesize", text=text)["ok"]
        with client_of(playing) as client:  # all of it was made meanwhile, or it would not fit
            assert list(client.synthesize("Others are served."))
        frames = 0
        while (line := slow.line())["event"] == "audio":
            frames += len(base64.b64decode(line["pcm"])) // 2
        assert line == {"event": "end", "synthesis": 1}
    assert frames > 30 * 16_000


def test_cancel_and_close(playing: Daemon) -> None:
    with playing.socket() as raw:
        assert raw.ask(do="synthesize", text=LONG)["ok"]
        assert raw.line()["event"] == "audio"
        raw.raw(b'{"do":"cancel"}\n')
        while (line := raw.line()).get("event") == "audio":
            pass
        assert line == {"event": "stopped", "synthesis": 1}
    with client_of(playing) as client:
        sounds = client.synthesize(LONG)
        next(sounds)
        threading.Timer(0.05, client.close).start()
        for _ in sounds:
            pass
    with client_of(playing) as client:
        client.synthesize(LONG)  # nobody takes it
        wait_until(lambda: client.status()["clients"] == 1)


# Faults.


def test_clients_that_are_killed(playing: Daemon) -> None:
    """One that asked to be followed takes its speech with it; another's goes on."""
    code = (
        "import json, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(json.dumps({'do': 'say', 'text': sys.argv[2], 'follow': sys.argv[3] == 'y'})"
        ".encode() + b'\\n')\n"
        "for line in s.makefile(): print(line, end='', flush=True)\n"
    )
    heard: list[Event] = []
    changed = threading.Condition()

    def hear(event: Event) -> None:
        with changed:
            heard.append(event)
            changed.notify_all()

    with client_of(playing) as watcher:
        watcher.subscribe(hear)
        for turn in range(50):
            follow = turn % 5 > 0
            text = LONG if follow else "Somebody has left. This is what he wanted to say."
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", code, str(playing.path), text, "ny"[follow]],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            number = json.loads(process.stdout.readline())["utterance"]
            if follow:
                assert json.loads(process.stdout.readline())["event"] == "begin"
            process.kill()
            process.wait(10)
            process.stdout.close()
            with changed:
                assert changed.wait_for(
                    lambda n=number: any(e.last and e.utterance == n for e in heard), 20
                )
                (last,) = (event for event in heard if event.last and event.utterance == number)
            assert last.kind == ("stopped" if follow else "end")
        wait_until(lambda: watcher.status()["clients"] == 1)


def malformed(chance: random.Random) -> bytes:
    """A line that is no request."""
    good = {"do": "say", "text": "Hi.", "mode": "queue", "start": 0, "follow": False, "id": 7}
    kind = chance.randrange(6)
    if kind == 0:  # bytes
        return bytes(c for c in chance.randbytes(chance.randrange(1, 200)) if c != 10) + b"\xff"
    if kind == 1:  # cut off
        line = json.dumps(good).encode()
        return line[: chance.randrange(1, len(line) - 1)]
    if kind == 2:  # another type
        wrong = [None, [], {}, True, 1.5, -1, "x", 1e999, "\ud800"]
        name = chance.choice(["do", "text", "mode", "start", "follow"])
        value = chance.choice([w for w in wrong if not _right(name, w)])
        return json.dumps({**good, name: value}).encode()
    if kind == 3:  # something nobody knows
        extra = "".join(chance.choices("abcxyz é", k=5))
        return json.dumps(
            chance.choice([{**good, extra: 1}, {"do": extra}, {"say": "Hi."}])
        ).encode()
    if kind == 4:  # JSON, but no object
        return json.dumps(chance.choice([[], 1, None, "say", [good], True])).encode()
    depth = chance.randrange(2, 20_000)
    return b"[" * depth + b"]" * depth


def _right(name: str, value: object) -> bool:
    """Whether a request to say something could have it."""
    return {
        "text": isinstance(value, str),
        "start": value is not True and isinstance(value, int),
        "follow": value is True,
    }.get(name, False)


def test_a_thousand_malformed_requests(mute: Daemon) -> None:
    chance = random.Random(7)
    with mute.socket() as raw:
        for _ in range(1000):
            line = malformed(chance)
            raw.raw(line + b"\n")
            answer = raw.line()
            assert answer["ok"] is False, line
            assert answer["kind"] in ("DaemonError", "TextError", "PlaybackError"), answer
            assert "at fault" not in answer["error"], answer
        assert raw.ask(do="status", id="x")["id"] == "x"
    assert mute.process.poll() is None


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"do": "sing"}, "no request 'sing'"),
        ({"do": "say"}, "needs 'text'"),
        ({"do": "say", "text": 5}, "a string, not 5"),
        ({"do": "say", "text": "Hi.", "start": True}, "a whole number, not True"),
        ({"do": "say", "text": "Hi.", "mode": "later"}, "queue or now"),
        ({"do": "say", "text": "Hi.", "rate": 99}, "give 0.5 to 3"),
        ({"do": "skip"}, "needs 'by'"),
        ({"do": "stop", "now": 1}, "takes no 'now'"),
        ({"do": "set", "volume": "loud"}, "a number, not 'loud'"),
    ],
)
def test_refusals(mute: Daemon, request_: dict[str, Any], complaint: str) -> None:
    with mute.socket() as raw:
        answer = raw.ask(**request_)
        assert not answer["ok"]
        assert complaint in answer["error"]
        assert "\n" not in answer["error"]


def test_too_long_a_line_ends_the_connection(mute: Daemon) -> None:
    with mute.socket() as raw, mute.socket() as other:
        fits = json.dumps({"do": "say", "text": ".", "id": "x" * 1_000_000}).encode()
        raw.raw(fits + b"\n")
        assert "nothing to say" in raw.line()["error"]
        with pytest.raises(OSError):
            raw.raw(b"x" * 3_000_000)
        assert other.ask(do="status")["ok"]
    with mute.socket() as raw:
        raw.raw(b"x" * (protocol.LONGEST_LINE + 1))
        assert "at most 1,048,576 bytes" in raw.line()["error"]
        assert raw.at_end()


def test_requests_in_pieces_and_in_heaps(mute: Daemon) -> None:
    with mute.socket() as raw:
        for byte in b'{"do": "status"}':
            raw.raw(bytes([byte]))
        raw.raw(b'\n\n{"do": "voices"}\r\n' + b'{"do":"status"}\n' * 500)
        assert "voices" in raw.line() or "voices" in raw.line()
        assert all(raw.line()["ok"] for _ in range(500))


def test_too_many_clients(mute: Daemon) -> None:
    sockets = [mute.socket() for _ in range(server.MAX_CLIENTS)]
    try:
        assert all(raw.ask(do="status")["ok"] for raw in sockets)
        with mute.socket() as raw:
            assert "64 clients" in raw.line()["error"]
        with pytest.raises(DaemonError, match="64 clients"):
            client_of(mute).status()
        # Nobody who holds them keeps others from silence.
        with mute.socket() as raw:
            assert raw.ask(do="stop", id=5) == {"ok": True, "id": 5}
    finally:
        for raw in sockets:
            raw.close()


def test_clients_without_end_do_not_keep_it_from_ending(start: Start) -> None:
    daemon = start()
    sockets = [daemon.socket() for _ in range(server.MAX_CLIENTS + server.MAX_WAITING // 2)]
    try:
        with client_of(daemon) as client:
            client.shutdown()
        assert daemon.process.wait(20) == 0
    finally:
        for raw in sockets:
            raw.close()
    assert daemon.end() == ""


def test_no_device(mute: Daemon) -> None:
    with client_of(mute) as client:
        for number in [client.say("Nobody hears this.") for _ in range(3)]:
            (event,) = number
            assert event.kind == "error"
            assert "no output device" in event.message
        assert list(client.synthesize("Some can play it themselves."))


class Still:
    """A speaker that only tells what a test wants."""

    def __init__(self) -> None:
        self.events = EventDispatcher()
        self.subscribe = self.events.subscribe
        self.close = self.events.close

    def status(self) -> dict[str, Any]:
        return {"queued": 0}


@pytest.fixture
def still(tmp_path: Path) -> Iterator[tuple[Still, Path]]:
    """A server in this process."""
    spoken = Still()
    with Address(tmp_path / "s") as at:
        serving = Server(spoken, at)  # type: ignore[arg-type]
        thread = threading.Thread(target=serving.run)
        thread.start()
        yield spoken, at.path
        serving.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_who_does_not_read_is_dropped(
    still: tuple[Still, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "UNREAD", 100_000)
    spoken, path = still
    with Socket(path) as deaf, Socket(path) as other:
        assert deaf.ask(do="watch")["ok"]
        assert other.ask(do="watch")["ok"]
        for i in range(40):
            spoken.events.tell(Event("sentence", i, text="x" * 50_000))
            assert other.line()["utterance"] == i
        read = 0
        while not deaf.at_end():
            read += 1
        assert read < 40
        assert other.ask(do="status")["clients"] == 1


def test_a_fault_of_the_daemon_is_told(
    still: tuple[Still, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with Socket(still[1]) as raw:
        assert "at fault (AttributeError" in raw.ask(do="voices")["error"]
        assert raw.ask(do="status")["ok"]
    assert "could not be done" in caplog.text


# Begin and end.


def test_killed_and_started_again(start: Start) -> None:
    first = start()
    with client_of(first) as client:
        client.pause()
        number = client.say("Nobody will hear this.")
        first.kill()
        assert list(number)[-1].kind == "error"
        assert "the daemon is gone" in list(number)[-1].message
        with pytest.raises(DaemonError, match="start it again"):
            client.status()
    assert first.path.exists()
    assert connect(first.path) is None
    second = start()
    with client_of(second) as client:
        assert client.status()["pid"] == second.process.pid


def test_only_one(start: Start, model: Path) -> None:
    first = start()
    done = subprocess.run(
        [sys.executable, "-m", "spark_mlx", "daemon"],
        env=first.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"spark-mlx: a daemon listens at {first.path} already; "
        "end it with: spark-mlx daemon --stop\n"
    )
    with client_of(first) as client:
        assert client.status()["loaded"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_in_order(start: Start, number: signal.Signals) -> None:
    daemon = start()
    with client_of(daemon) as client:
        client.pause()
        said = client.say(LONG)
        daemon.process.send_signal(number)
        assert list(said)[-1].kind == "stopped"
        daemon.process.send_signal(number)  # somebody is impatient
    assert daemon.end() == ""
    assert list(daemon.path.parent.iterdir()) == []


def test_the_command_tells_and_ends(start: Start) -> None:
    daemon = start()

    def command(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "spark_mlx", "daemon", *args],
            env=daemon.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    told = command("--status")
    assert told.returncode == 0
    assert f"pid: {daemon.process.pid}\n" in told.stdout
    assert command("--stop").returncode == 0
    assert daemon.process.wait(20) == 0
    for option in ("--status", "--stop"):
        done = command(option)
        assert done.returncode == 1
        assert done.stderr.startswith(f"spark-mlx: no daemon listens at {daemon.path}; start one")


def test_it_ends_when_nobody_needs_it(start: Start) -> None:
    daemon = start("--idle-exit", "0.02")
    with client_of(daemon) as client:
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.process.wait(2.5)
        assert client.status()["loaded"]
    assert daemon.process.wait(10) == 0
    assert daemon.end() == ""


def test_no_model_no_daemon(tmp_path: Path, model: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        if file.name != "codec.safetensors":
            (broken / file.name).symlink_to(file)
    for folder, what in ((broken, "codec.safetensors"), (tmp_path / "gone", "gone")):
        with pytest.raises(AssertionError, match=what) as failed:
            Daemon(tmp_path / "h", folder, None)
        assert str(failed.value).count("\n") <= 2
    assert not (tmp_path / "h" / "daemon.sock").exists()


# Who may talk to it.


def test_nobody_else_may_come_near(mute: Daemon) -> None:
    assert mute.path.stat().st_mode & 0o777 == 0o600
    assert mute.path.parent.stat().st_mode & 0o777 == 0o700


def test_the_folder_must_be_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    with pytest.raises(DaemonError, match="chmod go-w"):
        Address(shared / "s")
    shared.chmod(0o755)
    Address(shared / "s").close()
    assert list(shared.iterdir()) == []
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(DaemonError, match="another user"):
        Address(shared / "s")


def test_each_side_asks_who_the_other_is(
    still: tuple[Still, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = still[1]
    monkeypatch.setattr(server, "peer", lambda _: 12345)
    with Socket(path) as raw:
        assert "another user" in raw.line()["error"]
    monkeypatch.undo()
    monkeypatch.setattr(address, "peer", lambda _: 12345)
    with pytest.raises(DaemonError, match="user 12345"):
        dial(path)


def test_a_client_that_has_left_shows_no_traceback(
    still: tuple[Still, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on macOS, where a socket whose other end is closed can be asked nothing."""

    def gone(*_: object) -> int:
        raise OSError(errno.ENOTCONN, "Socket is not connected")

    path = still[1]
    monkeypatch.setattr(server, "peer", gone)
    with Socket(path) as raw:
        assert raw.at_end()
    monkeypatch.undo()
    with Socket(path) as raw:
        assert raw.ask(do="status")["ok"]
    assert caplog.text == ""
    monkeypatch.setattr(address, "peer", gone)
    with pytest.raises(DaemonError, match="cannot be reached"):
        connect(path)
    monkeypatch.undo()
    connection = dial(path)
    assert connection is not None
    closed = socket.socket(socket.AF_UNIX)
    closed.close()  # any option of it raises OSError
    connection.close()
    with pytest.raises(DaemonError, match="the daemon is gone"):
        Client(closed, path)


def test_what_macos_tells_of_a_peer() -> None:
    assert xucred_uid(struct.pack("=IIh16I", 0, 501, 1, *[20] * 16)) == 501
    with pytest.raises(DaemonError, match="form 9"):
        xucred_uid(struct.pack("=II", 9, 501))


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter"
    file.write_text("Dear Tom")
    with pytest.raises(DaemonError, match="is no socket"):
        Address(file)
    assert file.read_text() == "Dear Tom"
    assert dial(tmp_path / "gone" / "s") is None
    assert dial(file / "s") is None
    with pytest.raises(DaemonError, match="at most"):
        Address(tmp_path / ("x" * 120))
    assert dial(tmp_path / ("x" * 120)) is None


def test_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_MLX_HOME", "/a")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/x")
    assert default_path() == Path("/a/daemon.sock")
    monkeypatch.delenv("SPARK_MLX_HOME")
    assert default_path() == Path("/run/user/7/spark-mlx/daemon.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_path() == Path("/home/x/.local/state/spark-mlx/daemon.sock")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_path() == Path("/home/x/Library/Application Support/spark-mlx/daemon.sock")


def test_a_daemon_that_is_stuck(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as full:
        full.bind(os.fspath(path))
        full.listen(0)
        waiting = dial(path)
        assert waiting is not None
        with waiting, pytest.raises(DaemonError, match="cannot be reached"):
            dial(path, timeout=0.1)


# Stops, and the command.


def test_stop_is_silence_soon(tmp_path: Path, start: Start, at_most: AtMost) -> None:
    need_portaudio()
    card = Card(tmp_path)
    times = []
    with client_of(start(card=card)) as client:
        for _ in range(10):
            client.say(LONG)
            card.wait_for_sound(time.monotonic())
            asked = time.monotonic()
            client.stop()
            card.wait_for_frames(8000)  # half a second of what comes after it
            times.append(max(0.0, card.sounded - asked))
    card.close()
    at_most(statistics.median(times), 0.15)  # the pipe holds 40 ms that a card would not
    at_most(max(times), 0.5)


def say_arguments(*args: str) -> argparse.Namespace:
    return build_parser().parse_args(["say", *args])


def test_say_through_the_daemon(
    playing: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "Said by the daemon."
    monkeypatch.setenv("SPARK_MLX_HOME", str(tmp_path))
    assert say_through_daemon(say_arguments(text), text) is None
    monkeypatch.setenv("SPARK_MLX_HOME", str(playing.path.parent))
    for options in (("-o", "x.wav"), ("--model", "x"), ("--seed", "3"), ("-v", "clip.wav")):
        assert say_through_daemon(say_arguments(text, *options), text) is None
    heard: list[Event] = []
    with client_of(playing) as watcher:
        watcher.subscribe(heard.append)
        assert say_through_daemon(say_arguments(text, "-r", "360"), text) == 0
        wait_until(lambda: any(event.kind == "end" for event in heard))
    assert {event.text for event in heard} == {text}
    with pytest.raises(VoiceError, match="nobody"):
        say_through_daemon(say_arguments(text, "-v", "nobody"), text)


def test_say_tells_of_failures(mute: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_MLX_HOME", str(mute.path.parent))
    with pytest.raises(DaemonError, match="no output device"):
        say_through_daemon(say_arguments("Hi there."), "Hi there.")


def test_a_client_needs_no_mlx() -> None:
    code = "import sys, spark_mlx.daemon.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"mlx.core", "sounddevice", "soundfile"} & set(done.stdout.split())


def wait_until(true: Callable[[], bool], timeout: float = 20.0) -> None:
    latest = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < latest
        time.sleep(0.01)
