"""The store of named voices, and the folders it and the models live in."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from spark_mlx import paths, voices
from spark_mlx.audio import files
from spark_mlx.errors import VoiceError
from spark_mlx.voice import Voice


def voice(name: str, first: int = 0) -> Voice:
    return Voice(
        name=name,
        global_tokens=np.arange(first, first + 32, dtype=np.int32),
        codec="c",
        origin="cloned",
        source="x.wav",
    )


@pytest.fixture(autouse=True)
def _presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One preset, whatever the package ships."""
    folder = tmp_path / "presets"
    folder.mkdir()
    voice("preset").save(folder / "preset.npz")
    monkeypatch.setattr(voices, "_PRESETS", folder)


def test_save_find_list_remove() -> None:
    assert voices.names() == ["preset"]
    path = voices.save(voice("Zoë"))
    assert path == paths.voices() / "Zoë.npz"
    voices.save(voice("小明 2"))
    assert voices.names() == ["preset", "Zoë", "小明 2"]
    assert [entry.preset for entry in voices.listing()] == [True, False, False]
    assert voices.find("Zoë") == voices.find(path) == voices.find(str(path)) == voice("Zoë")
    assert voices.find("Zoe\u0308") == voice("Zoë")  # decomposed, as macOS hands names out
    assert voices.find("preset") == voice("preset")
    voices.remove("Zoë")
    assert voices.names() == ["preset", "小明 2"]


def test_a_taken_name() -> None:
    voices.save(voice("a"))
    with pytest.raises(VoiceError, match="'a' already"):
        voices.save(voice("a", first=1))
    assert voices.find("a") == voice("a")
    voices.save(voice("a", first=1), overwrite=True)
    assert voices.find("a") == voice("a", first=1)


def test_rename() -> None:
    voices.save(voice("a"))
    voices.save(voice("b"))
    with pytest.raises(VoiceError, match="'b' already"):
        voices.rename("a", "b")
    voices.rename("a", "c")
    assert voices.names() == ["b", "c", "preset"]
    assert voices.find("c") == voice("c")
    with pytest.raises(VoiceError, match="cannot be a voice's name"):
        voices.rename("c", "../c")
    with pytest.raises(VoiceError, match="no voice 'a'"):
        voices.rename("a", "d")


def test_rename_where_file_names_ignore_case(monkeypatch: pytest.MonkeyPatch) -> None:
    path = voices.save(voice("alice"))
    # Stands in for such a file system: both names are the one file.
    (paths.voices() / "Alice.npz").hardlink_to(path)
    voices.rename("alice", "Alice")
    assert voices.find("Alice") == voice("Alice")


def test_presets_stay_and_can_be_hidden() -> None:
    with pytest.raises(VoiceError, match=r"'preset' is a preset.*cannot be removed"):
        voices.remove("preset")
    with pytest.raises(VoiceError, match=r"'preset' is a preset.*cannot be renamed"):
        voices.rename("preset", "mine")
    voices.save(voice("preset", first=5))
    assert voices.find("preset") == voice("preset", first=5)
    assert voices.names() == ["preset"]
    voices.remove("preset")
    assert voices.find("preset") == voice("preset")


def test_unknown_names_bring_the_nearest() -> None:
    voices.save(voice("alice"))
    with pytest.raises(VoiceError, match=r"did you mean alice.*voice list"):
        voices.find("alise")
    with pytest.raises(VoiceError, match=r"no voice 'x'; spark-mlx voice list"):
        voices.find("x")
    with pytest.raises(VoiceError, match=r"cannot read the voice gone\.npz"):
        voices.find("gone.npz")


@pytest.mark.parametrize(
    "name",
    [
        *("", " a", "a ", ".a", "a.", "-a", "a/b", "a\\b", "a:b", "a*", "a\n", "a\0", "..", "CON"),
        # Windows' device with an ending, the file's own ending, and too many bytes.
        "nul.x",
        "a.npz",
        "a" * 201,
        "字" * 67,
        "\ud800",
    ],
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(VoiceError, match="cannot be a voice's name"):
        voices.save(voice(name))
    assert not paths.voices().exists()


@pytest.mark.parametrize("name", ["a", "Ärger", "हिन्दी", "小明", "v1.2_b-c d", "console", "7"])
def test_names_that_can_be(name: str) -> None:
    voices.save(voice(name))
    assert voices.find(name) == voice(name)
    assert name in voices.names()


def test_other_files_are_not_listed() -> None:
    path = voices.save(voice("a"))
    shutil.copy(path, path.parent / "._a.npz")  # as macOS leaves beside files on foreign disks
    (path.parent / "notes.txt").touch()
    assert voices.names() == ["a", "preset"]


def test_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARK_MLX_HOME", str(tmp_path / "file"))
    with pytest.raises(VoiceError, match="cannot make"):
        voices.save(voice("a"))


def test_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_MLX_HOME", str(tmp_path / "x"))
    assert paths.home() == tmp_path / "x"
    assert paths.models() == tmp_path / "x" / "models"
    assert paths.voices() == tmp_path / "x" / "voices"

    monkeypatch.setenv("HOME", "/u")
    monkeypatch.setenv("SPARK_MLX_HOME", "~/y")
    assert paths.home() == Path("/u/y")

    monkeypatch.setenv("SPARK_MLX_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert paths.home() == Path("/u/.cache/spark-mlx")
    assert paths.voices() == Path("/u/.local/share/spark-mlx/voices")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    monkeypatch.setenv("XDG_DATA_HOME", "/d")
    assert paths.models() == Path("/c/spark-mlx/models")
    assert paths.voices() == Path("/d/spark-mlx/voices")

    monkeypatch.setattr(sys, "platform", "darwin")
    assert paths.models() == Path("/c/spark-mlx/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert paths.state() == Path("/u/Library/Application Support/spark-mlx/state")
    assert paths.home() == Path("/u/Library/Caches/spark-mlx")
    assert paths.voices() == Path("/u/Library/Application Support/spark-mlx/voices")


def test_a_bad_file_never_hides_the_others(tmp_path: Path) -> None:
    voices.save(voice("good"))
    (paths.voices() / "damaged.npz").write_bytes(b"x")
    os.mkfifo(paths.voices() / "pipe.npz")
    (paths.voices() / "folder.npz").mkdir()
    assert voices.names() == ["damaged", "folder", "good", "pipe", "preset"]
    assert voices.find("good") == voice("good")
    for name in ("damaged", "folder", "pipe"):
        with pytest.raises(VoiceError, match=name):
            voices.find(name)
    (voices._PRESETS / "a-damaged-one.npz").write_bytes(b"x")
    assert voices.preset("c") == voice("preset")


def test_a_voice_named_like_a_preset_leaves_the_default_alone() -> None:
    assert voices.default("c") == voice("preset")
    voices.save(voice("preset", first=1))
    assert voices.find("preset") == voice("preset", first=1)
    assert voices.default("c") == voice("preset")


def test_the_default_is_chosen() -> None:
    voices.save(voice("mine", first=1))
    voices.choose_default("mine")
    assert voices.default("c") == voice("mine", first=1)
    assert voices.default("another codec") is None
    voices.rename("mine", "my own")
    assert voices.default_name() == "my own"
    (paths.voices() / "my own.npz").write_bytes(b"x")
    with pytest.raises(VoiceError, match=r"default voice cannot be used.*spark-mlx voice default"):
        voices.default("c")
    voices.remove("my own")
    assert voices.default("c") == voice("preset")
    for name in ("nobody", "preset.npz"):
        with pytest.raises(VoiceError, match="no voice"):
            voices.choose_default(name)


def test_the_files_are_private() -> None:
    paths.voices().mkdir(parents=True)
    paths.voices().chmod(0o755)
    path = voices.save(voice("mine"))
    voices.choose_default("mine")
    for folder in (paths.voices(), paths.state()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in (path, paths.state() / "default-voice"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("ending", [".npz", *sorted(files.RECORDINGS)])
def test_a_name_that_would_be_taken_for_a_file(ending: str) -> None:
    with pytest.raises(VoiceError, match="cannot be a voice's name"):
        voices.save(voice(f"voice{ending}"))
