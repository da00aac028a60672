"""`spark-mlx voice` and printing: nothing in a file reaches the terminal as a control character."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spark_mlx import cli, paths, voices
from spark_mlx.checkpoints import hub
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.cli import doctor
from spark_mlx.cli.printing import visible
from spark_mlx.voice import Voice

Output = pytest.CaptureFixture[str]


def voice(name: str, codec: str | None = None, source: str = "x.wav") -> Voice:
    return Voice(
        name=name,
        global_tokens=np.arange(32, dtype=np.int32),
        codec=codec or ModelConfig.load(hub.BUILT_IN).fingerprint.codec,
        origin="cloned",
        source=source,
    )


def run(capsys: Output, *args: str) -> tuple[int, str, str]:
    try:
        status = cli.main(args)
    except SystemExit as error:
        status = int(str(error.code))
    return status, *capsys.readouterr()


def test_list_marks_each_kind_of_voice(capsys: Output) -> None:
    voices.save(voice("mine"))
    voices.save(voice("foreign", codec="another"))
    (paths.voices() / "broken.npz").write_bytes(b"x")
    meta = json.dumps({"format": 99})
    np.savez(paths.voices() / "newer.npz", meta=np.array(meta), global_tokens=np.arange(3))
    status, out, _ = run(capsys, "voice", "list")
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    assert status == 0
    assert rows["mine"] == ["", "cloned", str(paths.voices() / "mine.npz")]
    assert rows["foreign"][2].endswith("for another model")
    assert rows["broken"][2].startswith("damaged; ")
    assert rows["newer"][2].startswith("of a newer spark-mlx; ")
    assert rows["ada"] == ["", "cloned", "the default; preset"]
    finding = doctor._voices()
    assert not finding.ok
    assert "broken" in finding.detail and "newer" in finding.detail


def test_default(capsys: Output) -> None:
    voices.save(voice("mine"))
    assert run(capsys, "voice", "default") == (0, "ada\n", "")
    assert run(capsys, "voice", "default", "mine") == (0, "mine\n", "")
    assert "mine\t\tcloned\tthe default; " in run(capsys, "voice", "list")[1]
    (paths.voices() / "mine.npz").write_bytes(b"x")
    status, out, err = run(capsys, "voice", "default")
    assert (status, out) == (1, "")
    assert "spark-mlx voice default" in err
    assert run(capsys, "voice", "default", "--clear") == (0, "ada\n", "")
    assert run(capsys, "voice", "default", "mine", "--clear")[0] == 2


def test_import_and_export(capsys: Output, tmp_path: Path) -> None:
    voice("old name").save(tmp_path / "given.npz")
    assert run(capsys, "voice", "import", str(tmp_path / "given.npz")) == (0, "given\n", "")
    assert voices.find("given").name == "given"
    target = str(tmp_path / "copy.npz")
    assert run(capsys, "voice", "export", "given", target)[0] == 0
    assert stat.S_IMODE(Path(target).stat().st_mode) == 0o600
    assert "--force" in run(capsys, "voice", "export", "given", target)[2]
    assert "already" in run(capsys, "voice", "import", str(tmp_path / "given.npz"))[2]
    assert run(capsys, "voice", "import", target, "--name", "given", "--force")[0] == 0


def test_clone_refuses_before_it_loads_a_model(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_mlx.cli.voice.load_model", pytest.fail)
    old = tmp_path / "old.npz"
    voice("old").save(old)
    before = old.read_bytes()
    voices.save(voice("taken"))
    for options, status, word in (
        (["-o", str(old)], 1, "--force"),
        (["-o", str(tmp_path / "x.wav")], 2, ".npz"),
        (["--name", "voice.wav"], 1, "cannot be a voice's name"),
        (["--name", "taken"], 1, "already"),
    ):
        answer = run(capsys, "voice", "clone", "clip.wav", *options)
        assert answer[0] == status, answer
        assert word in answer[2]
    assert old.read_bytes() == before


def test_no_control_character_reaches_the_terminal(capsys: Output, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\ud800"
    path = tmp_path / "evil.npz"
    meta = {
        **{"format": 1, "name": evil, "codec": evil, "origin": "cloned", "source": evil},
        **{"transcript": None, "attributes": None, "consent": evil, "created": "2025-01-31"},
    }
    np.savez(path, meta=np.array(json.dumps(meta)), global_tokens=np.arange(32))
    outputs = [run(capsys, "voice", "show", str(path), *extra) for extra in ([], ["--json"])]
    assert [output[0] for output in outputs] == [0, 0]
    assert json.loads(outputs[1][1])["name"] == evil
    outputs.append(run(capsys, "voice", "show", f"{tmp_path}/{evil}.npz"))
    meta["origin"] = evil
    np.savez(path, meta=np.array(json.dumps(meta)), global_tokens=np.arange(32))
    outputs.append(run(capsys, "voice", "show", str(path)))
    for _, out, err in outputs:
        for c in out + err:
            assert c in "\n\t" or c.isprintable() or c == " ", repr(c)
    assert visible("tab\tand\nline, 小明 Zoë") == "tab\tand\nline, 小明 Zoë"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk here")
@pytest.mark.parametrize("command", [["voice", "list"], ["voice", "show", "ada", "--json"]])
def test_a_full_disk_is_told(command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "spark_mlx", *command], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "spark-mlx: cannot write the output: No space left on device"
    ]
