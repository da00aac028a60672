"""The real speech-dispatcher with the real spd-say, where they are installed; without any sound.

The model is tiny and speaks noise; what is tested is that all of it comes, in order, and ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import AtMost
from daemon_stand import Card
from spark_mlx import voices
from spark_mlx.tts import SparkTTS
from speechd_stand import SAY, SERVER, Client, Dispatcher

pytestmark = pytest.mark.skipif(
    SERVER is None or SAY is None, reason="speech-dispatcher is not installed"
)

LONG = "This sentence is one of many that are never heard to the end. " * 60
MODULE = 'SET SELF OUTPUT_MODULE "spark-mlx"'


@contextlib.contextmanager
def serving(
    folder: Path, model: Path, tts: SparkTTS, device: str, **variables: str
) -> Iterator[Dispatcher]:
    """speech-dispatcher, with the module as `spark-mlx install` makes it known.

    Args:
        device: ALSA's, that it plays to.
        variables: of its environment.
    """
    environment = {
        **os.environ,
        "SPARK_MLX_HOME": str(folder / "spark"),
        "SPARK_MLX_MODEL": str(model),
        **variables,
    }
    patch = pytest.MonkeyPatch()
    patch.setenv("SPARK_MLX_HOME", environment["SPARK_MLX_HOME"])
    voices.save(tts.create_voice(seed=5, name="Alice Two"))
    patch.undo()
    dispatcher = Dispatcher(folder, environment)
    dispatcher.config.parent.mkdir(parents=True)
    dispatcher.config.write_text(
        f'LogDir "default"\nAudioOutputMethod "alsa"\nAudioALSADevice "{device}"\n'
        'AddModule "dummy" "sd_dummy" ""\n'
    )
    subprocess.run(
        [sys.executable, "-m", "spark_mlx", "install", "speech-dispatcher", "--default"],
        env=dispatcher.environment,
        check=True,
        capture_output=True,
    )
    try:
        dispatcher.start()
        yield dispatcher
    finally:
        dispatcher.stop()
    assert "unexpected" not in dispatcher.story()
    assert "bogus" not in dispatcher.story()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, model: Path, tts: SparkTTS
) -> Iterator[Dispatcher]:
    """A server with ALSA's null device, which takes all there is at once."""
    with serving(tmp_path_factory.mktemp("speechd"), model, tts, "null") as dispatcher:
        yield dispatcher


@pytest.fixture
def client(server: Dispatcher) -> Iterator[Client]:
    client = Client(server.socket)
    client.command("SET SELF LANGUAGE en")
    yield client
    client.close()


def children(parent: int) -> list[int]:
    """The processes that one has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after_name = stat.read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


def test_the_module_is_loaded_and_default(client: Client) -> None:
    assert "spark-mlx" in client.command("LIST OUTPUT_MODULES")
    assert client.command("GET OUTPUT_MODULE")[0] == "spark-mlx"


def test_spd_say_speaks_and_waits(server: Dispatcher) -> None:
    done = server.say("-w", "-o", "spark-mlx", "-r", "30", "Hello from the screen reader.")
    assert done.returncode == 0, done.stderr
    listed = server.say("-o", "spark-mlx", "-L").stdout.decode()
    assert "default" in listed and "Alice Two" in listed
    assert "spark-mlx" in server.say("-O").stdout.decode()


def test_speech_with_marks_in_order(client: Client) -> None:
    client.command("SET SELF SSML_MODE on")
    words = [f"word{i}" for i in range(40)]
    text = "<speak>" + " ".join(f'<mark name="{i}:"/>{w}' for i, w in enumerate(words)) + "</speak>"
    number = client.speak(text.replace("word9 ", "word9. "))
    events = list(client.events("END"))
    assert events[0] == ("BEGIN", number, "")
    assert [mark for what, _, mark in events if what == "INDEX MARK"] == [
        f"{i}:" for i in range(40)
    ]


def test_characters_keys_and_what_the_server_calls_them(client: Client) -> None:
    for line in ("CHAR a", "CHAR space", "CHAR !", "CHAR é", "CHAR 中", "KEY control_alt_x"):
        number = client.send(line)
        assert [what for what, _, _ in client.events("END")] == ["BEGIN", "END"], line
    assert number > 0


def test_voice_rate_and_language(client: Client) -> None:
    lists = client.command("LIST SYNTHESIS_VOICES")
    assert "default\ten\tnone" in lists and "Alice Two\tzh\tnone" in lists
    for line in (
        "SET SELF SYNTHESIS_VOICE Alice Two",
        "SET SELF RATE 100",
        "SET SELF PITCH -50",
        "SET SELF VOLUME -20",
        "SET SELF LANGUAGE zh-CN",
        "SET SELF PUNCTUATION all",
        "SET SELF CAP_LET_RECOGN spell",
        "SET SELF SPELLING on",
    ):
        client.command(line)
        client.speak("Yes, B.")
        assert [what for what, _, _ in client.events("END")] == ["BEGIN", "END"], line


def test_stop_in_the_middle_and_on(client: Client, at_most: AtMost) -> None:
    client.speak(LONG)
    stream = client.events("END", "CANCELED")
    assert next(stream)[0] == "BEGIN"
    began = time.monotonic()
    client.command("STOP SELF")
    assert [what for what, _, _ in stream] == ["CANCELED"]
    at_most(time.monotonic() - began, 3)
    client.speak("And on.")
    assert [what for what, _, _ in client.events("END")] == ["BEGIN", "END"]


def test_a_client_that_leaves_is_cut_off(server: Dispatcher, client: Client) -> None:
    other = Client(server.socket, "other")
    other.speak(LONG)
    assert next(other.events("BEGIN"))[0] == "BEGIN"
    other.command("CANCEL SELF")
    other.close()
    client.speak("I am still here.")
    assert [what for what, _, _ in client.events("END")] == ["BEGIN", "END"]


def test_two_clients_at_once(server: Dispatcher, client: Client) -> None:
    other = Client(server.socket, "other")
    for one in (client, other):
        one.command("SET SELF PRIORITY message")
    wanted = {one: [one.speak(f"Message {i}.") for i in range(10)] for one in (client, other)}
    for one, numbers in wanted.items():
        ended = [next(n for what, n, _ in one.events("END") if what == "END") for _ in numbers]
        assert ended == numbers
    other.close()


def test_five_hundred_messages(client: Client) -> None:
    client.command("SET SELF PRIORITY message")
    numbers = []
    for i in range(500):
        numbers.append(client.send(f"KEY {'abcdefghij'[i % 10]}"))
    counts: Counter[str] = Counter()
    ended = []
    while len(ended) < 500:
        for what, number, _ in client.events("END", "CANCELED"):
            counts[what] += 1
            if what == "END":
                ended.append(number)
    assert ended == numbers
    assert counts == {"BEGIN": 500, "END": 500}


def test_pause_where_no_mark_follows(tmp_path: Path, model: Path, tts: SparkTTS) -> None:
    # The server halts at its own marks only, of which a last sentence has none: the module gives
    # one. It halts at that, ten times out of ten, while its player is busy, which a card makes it.
    card = Card(tmp_path, rate=48_000)
    variables = {"ALSA_CONFIG_PATH": str(card.config)}
    with serving(tmp_path / "speechd", model, tts, "default", **variables) as server:
        client = Client(server.socket)
        for _ in range(10):
            client.speak("One long sentence without any end, " * 30)
            stream = client.events("END", "PAUSED", "CANCELED")
            assert next(stream)[0] == "BEGIN"
            client.command("PAUSE SELF")
            assert [what for what, _, _ in stream] == ["PAUSED"]
            client.command("RESUME SELF")
            stream = client.events("END", "CANCELED")
            assert next(stream)[0] == "RESUMED"
            client.command("STOP SELF")
            assert [what for what, _, _ in stream] == ["CANCELED"]
        client.speak("Later.")
        assert [what for what, _, _ in client.events("END")] == ["BEGIN", "END"]
        client.close()
    card.close()


def test_the_server_outlives_the_module(server: Dispatcher, client: Client) -> None:
    client.speak(LONG)
    assert next(client.events("BEGIN"))[0] == "BEGIN"
    assert server.process is not None
    (module,) = [pid for pid in children(server.process.pid) if "spark" in command_of(pid)]
    os.kill(module, 9)
    time.sleep(0.5)
    # The server's fallback speaks from now on, so that the user is not left in silence.
    again = Client(server.socket, "again")
    try:
        again.speak("Is anybody there?")
        assert [what for what, _, _ in again.events("END")] == ["BEGIN", "END"]
    finally:
        again.close()
