"""What `say` returns: its length, its file, its sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spark_mlx import audio, player
from spark_mlx.errors import AudioError
from spark_mlx.speech import Speech

SPEECH = Speech(np.linspace(-1, 1, 8_000, dtype=np.float32), 16_000, ("too short",))


def test_duration() -> None:
    assert SPEECH.duration == 0.5
    assert SPEECH.warnings == ("too short",)


def test_save(tmp_path: Path) -> None:
    SPEECH.save(tmp_path / "x.flac")
    assert np.abs(audio.read(tmp_path / "x.flac") - SPEECH.samples).max() < 4e-5
    with pytest.raises(AudioError, match=r"x\.doc"):
        SPEECH.save(str(tmp_path / "x.doc"))


def test_play(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[tuple[audio.Samples, int]] = []
    monkeypatch.setattr(player, "play", lambda *args: played.append(args))
    SPEECH.play()
    assert played == [(SPEECH.samples, 16_000)]
