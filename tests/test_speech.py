"""What `say` returns: its length, its file, its sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spark_mlx.audio import files, player
from spark_mlx.errors import AudioError
from spark_mlx.speech import Chunk, Sentence, Speech, sentences

SPEECH = Speech(np.linspace(-1, 1, 8_000, dtype=np.float32), 16_000, ("too short",))


def test_duration() -> None:
    assert SPEECH.duration == 0.5
    assert SPEECH.warnings == ("too short",)


def test_at_rate() -> None:
    said = Speech(SPEECH.samples, 16_000, ("late",), (Sentence("Hi.", (0, 3), 0.1, 0.5),))
    assert said.at_rate(1) is said
    fast = said.at_rate(2)
    assert fast.duration == pytest.approx(0.25, abs=0.01)
    assert fast.sentences == (Sentence("Hi.", (0, 3), 0.05, 0.25),)
    assert fast.warnings == ("late",)
    with pytest.raises(AudioError, match=r"0\.5 to 3, not 3\.5"):
        said.at_rate(3.5)


def test_sentences_of_chunks() -> None:
    def chunk(start: float, piece: int, seconds: float, pause: bool = False) -> Chunk:
        samples = np.zeros(int(seconds * 100), dtype=np.float32)
        return Chunk(samples, 100, start, piece, 0, f"s{piece}", (piece, piece + 1), "s", pause)

    chunks = [chunk(0, 0, 1), chunk(1, 0, 0.5), chunk(1.5, 0, 0.5, pause=True), chunk(2, 1, 1)]
    assert sentences([*chunks, chunk(3, 2, 0)]) == (
        Sentence("s0", (0, 1), 0, 1.5),
        Sentence("s1", (1, 2), 2, 3),
    )


def test_save(tmp_path: Path) -> None:
    SPEECH.save(tmp_path / "x.flac")
    assert np.abs(files.read(tmp_path / "x.flac") - SPEECH.samples).max() < 4e-5
    with pytest.raises(AudioError, match=r"x\.doc"):
        SPEECH.save(str(tmp_path / "x.doc"))


def test_play(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[tuple[files.Samples, int]] = []
    monkeypatch.setattr(player, "play", lambda *args: played.append(args))
    SPEECH.play()
    assert played == [(SPEECH.samples, 16_000)]
