"""The real `spark-mlx` command: what it does, what it refuses and how."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import REFERENCE, ROOT

CLIP = str(REFERENCE / "short.wav")


class Command:
    """Runs `spark-mlx` with a home of its own and the tiny model as the default."""

    def __init__(self, home: Path, model: Path) -> None:
        self.environment = {
            **os.environ,
            "SPARK_MLX_HOME": str(home),
            "SPARK_MLX_MODEL": str(model),
            "PYTHONWARNINGS": "error",
        }

    def __call__(
        self, *args: str, stdin: bytes = b"", check: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [sys.executable, "-m", "spark_mlx", *args],
            input=stdin,
            capture_output=True,
            env={**self.environment, **environment},
            timeout=120,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr.decode()
        return done

    def refused(self, *args: str, stdin: bytes = b"", status: int = 1, **environment: str) -> str:
        """Runs a command that must fail with one clear line, which is given back."""
        done = self(*args, stdin=stdin, **environment)
        stderr = done.stderr.decode()
        assert done.returncode == status, stderr
        assert "Traceback" not in stderr
        lines = stderr.strip().splitlines()
        if status == 1:
            assert len(lines) == 1, stderr
        assert lines[-1].startswith("spark-mlx")
        assert done.stdout == b""
        return lines[-1]


@pytest.fixture
def spark(tmp_path: Path, model: Path) -> Command:
    return Command(tmp_path / "home", model)


def own_voices(spark: Command) -> list[str]:
    """What `voice list` shows besides the presets."""
    listed = spark("voice", "list", check=True).stdout.decode().splitlines()
    rows = [line.split("\t") for line in listed]
    return [name for name, _, _, remark in rows if "preset" not in remark]


# What it does.


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg"])
def test_say_into_a_file(spark: Command, tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"out.{ending}"
    spark("say", "Hello.", "-v", CLIP, "-o", str(target), check=True)
    samples, rate = soundfile.read(target)
    assert rate == 16_000
    assert len(samples) > 1000


def test_say_to_stdout_is_a_wav(spark: Command) -> None:
    done = spark("say", "-", "-v", CLIP, "-o", "-", stdin="你好，world。".encode(), check=True)
    samples, rate = soundfile.read(io.BytesIO(done.stdout))
    assert rate == 16_000
    assert len(samples) > 1000


def test_say_a_file_twice_gives_the_same(spark: Command, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("One sentence.\n\nAnother one.")
    outputs = [
        spark("say", "-f", str(text), "-o", "-", "--seed", "3", check=True).stdout for _ in range(2)
    ]
    assert outputs[0] == outputs[1]


def test_say_follows_its_options(spark: Command) -> None:
    plain = ("say", "Hello.", "-o", "-")
    outputs = {
        spark(*plain, *options, check=True).stdout
        for options in (
            (),
            ("--seed", "9"),
            ("--gender", "male"),
            ("--temperature", "0"),
            ("-v", CLIP, "--transcript", "Yes."),
        )
    }
    assert len(outputs) == 5


def test_voices_from_clone_to_remove(spark: Command, tmp_path: Path) -> None:
    consent = "Alice, by mail"
    done = spark("voice", "clone", CLIP, "--name", "alice", "--consent", consent, check=True)
    assert done.stdout.decode().strip() == "alice"
    spark("voice", "create", "--gender", "male", "--pitch-value", "90", "--name", "tom", check=True)
    assert own_voices(spark) == ["alice", "tom"]
    shown = json.loads(spark("voice", "show", "tom", "--json", check=True).stdout)
    assert shown["attributes"]["pitch_value"] == 90
    assert consent in spark("voice", "show", "alice", check=True).stdout.decode()
    spark("voice", "rename", "alice", "alice two", check=True)
    spark("say", "Hello.", "-v", "alice two", "-o", str(tmp_path / "o.wav"), check=True)
    spark("voice", "remove", "alice two", check=True)
    assert "alice two" in spark.refused("voice", "show", "alice two")


def test_a_voice_file_of_ones_own(spark: Command, tmp_path: Path) -> None:
    file = str(tmp_path / "mine.npz")
    spark("voice", "clone", CLIP, "-o", file, check=True)
    assert own_voices(spark) == []
    spark("say", "Hello.", "-v", file, "-o", str(tmp_path / "o.wav"), check=True)


def test_convert_and_use(spark: Command, checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "converted"
    done = spark("convert", str(checkpoint), str(folder), "--quantize", "8", check=True)
    assert b"lm.safetensors" in done.stdout
    spark("say", "Hi.", "--model", str(folder), "-o", str(tmp_path / "o.wav"), check=True)


def test_doctor(spark: Command, model: Path) -> None:
    findings = {f["topic"]: f for f in json.loads(spark("doctor", "--json").stdout)}
    assert findings["numbers"]["ok"]
    assert findings["model"]["ok"]
    assert str(model) in findings["model"]["detail"]
    assert "mlx" in findings["versions"]["detail"]
    broken = json.loads(spark("doctor", "--json", "--model", "nowhere/at/all").stdout)
    assert not {f["topic"]: f for f in broken}["model"]["ok"]


# Help.

COMMANDS = [
    ["say"],
    ["read"],
    ["daemon"],
    ["voice", "clone"],
    ["voice", "create"],
    ["voice", "list"],
    ["voice", "show"],
    ["voice", "default"],
    ["voice", "import"],
    ["voice", "export"],
    ["voice", "rename"],
    ["voice", "remove"],
    ["install", "speech-dispatcher"],
    ["install", "quick-action"],
    ["uninstall", "speech-dispatcher"],
    ["uninstall", "quick-action"],
    ["download"],
    ["convert"],
    ["doctor"],
    ["bench"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_carries_an_example(spark: Command, command: list[str]) -> None:
    text = spark(*command, "--help", check=True).stdout.decode()
    assert f"spark-mlx {' '.join(command)}" in text.partition("example:")[2]


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, spark_mlx.cli; spark_mlx.cli.build_parser(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    ).stdout.split()
    assert not {"mlx", "numpy", "soundfile", "huggingface_hub"} & set(loaded)


# What it refuses.


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("?! … —", "nothing to say"),
        ("bell\x07", "U+0007"),
        ("word " * 20_000, "100,000"),
    ],
)
def test_bad_text(spark: Command, text: str, complaint: str) -> None:
    assert complaint in spark.refused("say", "-", "-o", "-", stdin=text.encode())


def test_lone_surrogate(spark: Command) -> None:
    argument = b"a\xff".decode("utf-8", "surrogateescape")
    assert "half a character" in spark.refused("say", argument, "-o", "-")


def test_text_file_that_is_no_text(spark: Command, tmp_path: Path) -> None:
    assert "UTF-8" in spark.refused("say", "-f", CLIP, "-o", "-")
    assert "No such file" in spark.refused("say", "-f", str(tmp_path / "gone.txt"), "-o", "-")


def write(path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> str:
    soundfile.write(path, samples, rate, subtype=subtype)
    return str(path)


TONE = 0.3 * np.sin(np.arange(16_000) * 0.05)


def test_bad_references(spark: Command, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("not a sound")
    hollow = TONE.copy()
    hollow[5] = np.nan
    for path, complaint in (
        (write(tmp_path / "silent.wav", 0 * TONE), "silent"),
        (write(tmp_path / "short.wav", TONE[:4000]), "0.25 s"),
        (write(tmp_path / "long.wav", np.tile(TONE, 600)), "600"),
        (write(tmp_path / "nan.wav", hollow, subtype="FLOAT"), "NaN"),
        (str(text), "text.wav"),
        (str(tmp_path / "gone.wav"), "gone.wav"),
        (str(tmp_path), str(tmp_path)),
    ):
        line = spark.refused("voice", "clone", path, "--name", "x")
        assert complaint in line
    assert own_voices(spark) == []


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(16_000, 2, "PCM_16"), (16_000, 1, "PCM_U8"), (96_000, 1, "PCM_24")],
)
def test_unusual_references_work(
    spark: Command, tmp_path: Path, rate: int, channels: int, subtype: str
) -> None:
    sound = np.tile(TONE, 6)[: rate // 2]
    path = write(tmp_path / "x.wav", np.stack([sound] * channels, 1), rate, subtype)
    spark("voice", "clone", path, check=True)


def test_bad_voices(spark: Command, tmp_path: Path, model: Path) -> None:
    good = tmp_path / "good.npz"
    spark("voice", "clone", CLIP, "-o", str(good), check=True)
    truncated = tmp_path / "truncated.npz"
    truncated.write_bytes(good.read_bytes()[:300])
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, meta=np.array([{}], dtype=object), global_tokens=np.zeros(32, np.int32))
    other = tmp_path / "other"
    other.mkdir()
    for file in model.iterdir():
        (other / file.name).symlink_to(file)
    config = json.loads((model / "config.json").read_text())
    config["fingerprint"]["codec"] = "f" * 64
    (other / "config.json").unlink()
    (other / "config.json").write_text(json.dumps(config))
    for args, complaint in (
        ((str(truncated),), "truncated.npz"),
        ((str(pickled),), "pickled.npz"),
        ((str(good), "--model", str(other)), "another codec"),
        ((str(tmp_path / "gone.npz"),), "gone.npz"),
        (("nobody",), "no voice 'nobody'"),
    ):
        assert complaint in spark.refused("say", "Hi.", "-o", "-", "-v", *args)


def test_bad_models(spark: Command, tmp_path: Path, model: Path) -> None:
    def damaged(name: str, data: bytes | None) -> str:
        folder = tmp_path / f"m{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for file in model.iterdir():
            if file.name != name:
                (folder / file.name).symlink_to(file)
        if data is not None:
            (folder / name).write_bytes(data)
        return str(folder)

    config = json.loads((model / "config.json").read_text())
    newer = json.dumps({**config, "format_version": 99}).encode()
    odd = json.dumps({**config, "colour": "blue"}).encode()
    wider = json.dumps(
        {**config, "lm": {**config["lm"], "intermediate_size": 161}, "quantize": None}
    ).encode()
    for folder, complaint in (
        (damaged("config.json", None), "config.json"),
        (damaged("config.json", b"{"), "damaged"),
        (damaged("config.json", newer), "format 99"),
        (damaged("config.json", odd), "colour"),
        (damaged("config.json", wider), "has shape"),
        (damaged("tokenizer.json", None), "tokenizer.json"),
        (damaged("lm.safetensors", None), "lm.safetensors"),
        (damaged("codec.safetensors", (model / "codec.safetensors").read_bytes()[:-9]), "damaged"),
        (str(tmp_path / "gone"), "gone"),
    ):
        line = spark.refused("say", "Hi.", "-o", "-", "-v", CLIP, "--model", folder)
        assert complaint in line


def test_bad_outputs(spark: Command, tmp_path: Path) -> None:
    assert "gone" in spark.refused("say", "Hi.", "-o", str(tmp_path / "gone" / "x.wav"))
    assert ".wav" in spark.refused("say", "Hi.", "-o", str(tmp_path / "x.txt"))
    (tmp_path / "full.wav").symlink_to("/dev/full")
    assert "No space left" in spark.refused("say", "Hi.", "-o", str(tmp_path / "full.wav"))


def test_no_audio_device(spark: Command, tmp_path: Path) -> None:
    # Where there is a sound card, ALSA is told to look for another one.
    nowhere = tmp_path / "asound.conf"
    nowhere.write_text("pcm.!default { type hw card 99 }\nctl.!default { type hw card 99 }\n")
    line = spark.refused("say", "Hi.", ALSA_CONFIG_PATH=str(nowhere))
    assert "-o" in line


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("say",),
        ("say", "Hi.", "-f", "x.txt"),
        ("say", "Hi.", "--gender", "robot"),
        ("say", "Hi.", "--seed", "x"),
        ("say", "Hi.", "-v", CLIP, "--gender", "male"),
        ("say", "Hi.", "--transcript", "x"),
        ("say", "Hi.", "--transcript", "x", "-v", "alice"),
        ("say", "Hi.", "-r", "fast"),
        ("convert", "one"),
        ("frobnicate",),
    ],
)
def test_usage_mistakes(spark: Command, args: tuple[str, ...]) -> None:
    spark.refused(*args, status=2)


def test_debug_shows_where(spark: Command) -> None:
    done = spark("--debug", "say", "", "-o", "-")
    assert done.returncode == 1
    assert b"Traceback" in done.stderr


def test_ctrl_c_is_quiet(spark: Command, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "spark_mlx", "say", "-", "-o", str(tmp_path / "out.wav")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=spark.environment,
    )
    assert process.stdin is not None
    process.stdin.write(b"A sentence of many. " * 500)
    process.stdin.close()
    process.stdin = None
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves(spark: Command) -> None:
    command = f"{sys.executable} -m spark_mlx say 'Hello.' -o - | head -c 10 >/dev/null"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, env=spark.environment, cwd=ROOT, check=False
    )
    assert done.stderr == b""
