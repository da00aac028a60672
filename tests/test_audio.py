"""Recordings read and levelled as upstream, refusals, files written whole."""

from __future__ import annotations

import io
import logging
import os
import platform
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import REFERENCE, Arrays
from spark_mlx.audio import files
from spark_mlx.errors import AudioError

RATE = 16_000


def tone(seconds: float, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * 220 * times)).astype(np.float32)


@pytest.mark.parametrize("clip", ["a", "short"])
def test_reference_is_bit_for_bit_upstreams(reference: Arrays, clip: str) -> None:
    # On ARM the last bit of some samples differs.
    off = 0 if platform.machine() == "x86_64" else 1e-12
    samples = files.reference(REFERENCE / f"{clip}.wav")
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, reference[f"{clip}.wav_16k"], rtol=0, atol=off)
    seen = files.speaker_clip(samples, 96_000)
    np.testing.assert_allclose(seen, reference[f"{clip}.ref_clip"][0], rtol=0, atol=off)


def test_levelling_can_be_left_out() -> None:
    quiet = tone(1, peak=0.05)
    np.testing.assert_array_equal(files.reference((quiet, RATE), levelled=False), quiet)


def test_level_follows_each_branch_of_upstream() -> None:
    ramp = np.linspace(0, 1, 1000)
    # A peak below 0.1 is brought to 0.1; too few magnitudes above 0.01 leave it there.
    assert np.abs(files.level(ramp * 0.01)).max() == pytest.approx(0.1)
    # Below 0.001 the gain stops growing.
    assert np.abs(files.level(ramp * 1e-4)).max() == pytest.approx(0.01)
    # The loud part is brought to 0.2 ...
    assert files.level(np.full(1000, 0.8))[0] == pytest.approx(0.2)
    # ... by no less than a tenth ...
    assert files.level(np.full(1000, 8.0))[0] == pytest.approx(0.8)
    # ... and a lone peak ends at full scale.
    assert np.abs(files.level(np.append(np.full(1000, 0.12), 0.9))).max() == 1.0


def test_first_channel_is_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    left, right = tone(1), tone(1, peak=0.1)
    with caplog.at_level(logging.INFO, "spark_mlx.audio.files"):
        samples = files.read((np.stack([left, right], axis=1), RATE))
    np.testing.assert_array_equal(samples, left)
    assert "2 channels" in caplog.text


@pytest.mark.parametrize(
    ("subtype", "rate"), [("PCM_U8", 16_000), ("PCM_24", 96_000), ("DOUBLE", 8_000)]
)
def test_files_of_other_kinds(tmp_path: Path, subtype: str, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", tone(1, rate), rate, subtype)
    samples = files.read(tmp_path / "x.wav")
    assert len(samples) == RATE
    # Away from the ends, where a resampler rings.
    assert np.abs(samples - tone(1))[500:-500].max() < 0.01


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float16, np.float64])
def test_arrays_of_other_types(dtype: type) -> None:
    samples = tone(1).astype(np.float64)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        samples = np.round(samples * info.max if info.min else (samples + 1) * 128)
    assert np.abs(files.read((samples.astype(dtype), RATE)) - tone(1)).max() < 0.01


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ((np.zeros((2, 16_000), np.float32), RATE), r"\(2, 16000\)"),
        ((np.zeros((10, 2, 2), np.float32), RATE), r"\(10, 2, 2\)"),
        ((np.zeros(16_000, np.int64), RATE), "int64"),
        ((np.zeros(16_000, complex), RATE), "complex128"),
        ((np.zeros(0, np.float32), RATE), "is empty"),
        ((np.array([0.0, np.nan]), RATE), "NaN or infinity"),
        ((np.array([0.0, np.inf]), RATE), "NaN or infinity"),
        ((np.array([0.0, 1e300]), RATE), "NaN or infinity"),
        ((np.zeros(16_000), 0), "claims 0 samples a second"),
        ((np.zeros(16_000), 10**9), "claims 1000000000 samples a second"),
        ((np.zeros(16_000), 16_000.5), r"not 16000\.5"),
        ((RATE, np.zeros(16_000)), "rate in whole Hz"),
        ((np.zeros(16_000 * 601), RATE), "lasts 601 s"),
    ],
)
def test_read_refuses(source: files.Source, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint):
        files.read(source)


def test_read_refuses_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav: No such file"):
        files.read(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match="Is a directory"):
        files.read(tmp_path)
    for name, data in [("text.wav", b"not audio"), ("empty.wav", b""), ("x.raw", bytes(1000))]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AudioError, match=f"{name} is not sound"):
            files.read(tmp_path / name)
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), RATE)
    with pytest.raises(AudioError, match="is empty"):
        files.read(tmp_path / "nothing.wav")

    def refused(*args: object) -> None:
        raise PermissionError(13, "Permission denied")  # for root, chmod would refuse nothing

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(AudioError, match=r"text\.wav: Permission denied"):
        files.read(tmp_path / "text.wav")


def test_read_refuses_a_pipe() -> None:
    start = (REFERENCE / "short.wav").read_bytes()[:1000]  # what fits into any pipe
    reader, writer = os.pipe()
    os.write(writer, start)
    os.close(writer)
    try:
        with pytest.raises(AudioError, match="is a pipe"):
            files.read(f"/dev/fd/{reader}")
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        (tone(0.29), "lasts 0.29 s, too short"),
        (tone(60.1), "more than the 60 s"),
        (np.zeros(RATE), "silent"),
        (np.full(RATE, 0.3), "silent"),  # a constant offset
        (tone(1, peak=0.0009), "silent"),
    ],
)
def test_reference_refuses(samples: np.ndarray, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint):
        files.reference((samples, RATE))


def test_reference_takes_what_is_just_enough() -> None:
    assert len(files.reference((tone(0.3), RATE))) == 4_800
    assert len(files.reference((tone(60), RATE))) == 960_000
    assert files.reference((tone(1, peak=0.002), RATE)).max() > 0.09


def test_ten_minutes_are_refused_undecoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(600 * 8_000, np.int16), 8_000)

    def decoded(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", decoded)
    with pytest.raises(AudioError, match="lasts 600 s, more than the 60 s"):
        files.reference(tmp_path / "long.wav")


def test_silences() -> None:
    loud, quiet = tone(1), tone(4, peak=0.001)
    assert files.silences(loud, RATE) == []
    assert files.silences(np.zeros(0, np.float32), RATE) == []
    assert files.silences(np.concatenate([loud, quiet, loud]), RATE) == [(16_000, 80_000)]
    assert files.silences(np.concatenate([loud, quiet, loud]), RATE, seconds=4.5) == []
    # At both ends, the last one not a whole number of frames.
    both = np.concatenate([quiet, loud, quiet, np.zeros(7, np.float32)])
    assert files.silences(both, RATE) == [(0, 64_000), (80_000, 144_007)]
    # A constant offset is as silent as none.
    assert files.silences(np.full(4 * RATE, 0.1, np.float32), RATE) == [(0, 4 * RATE)]


@pytest.mark.parametrize(
    ("ending", "tolerance"),
    [("wav", 4e-5), ("WAV", 4e-5), ("flac", 4e-5), ("mp3", 0.1), ("ogg", 0.1)],
)
def test_write_then_read(tmp_path: Path, ending: str, tolerance: float) -> None:
    samples = tone(2) * 3  # beyond full scale, so it is clipped
    files.write(tmp_path / f"x.{ending}", samples, RATE)
    found, rate = soundfile.read(tmp_path / f"x.{ending}")
    assert rate == RATE
    assert len(found) == len(samples)
    assert np.abs(found - np.clip(samples, -1, 1)).mean() < tolerance
    assert [path.name for path in tmp_path.iterdir()] == [f"x.{ending}"]


class Pipe(io.RawIOBase):
    """A stream that can only be written."""

    def __init__(self, error: OSError | None = None) -> None:
        self.data = b""
        self.error = error

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.error is not None:
            raise self.error
        self.data += data
        return len(data)


def test_write_to_a_stream() -> None:
    pipe = Pipe()
    files.write(pipe, tone(1), RATE)  # type: ignore[arg-type]
    found, rate = soundfile.read(io.BytesIO(pipe.data))
    assert rate == RATE
    assert np.abs(found - tone(1)).max() < 4e-5
    with pytest.raises(AudioError, match="No space left"):
        files.write(Pipe(OSError(28, "No space left on device")), tone(1), RATE)  # type: ignore[arg-type]
    with pytest.raises(BrokenPipeError):
        files.write(Pipe(BrokenPipeError(32, "Broken pipe")), tone(1), RATE)  # type: ignore[arg-type]


def test_write_refuses(tmp_path: Path) -> None:
    for name in ("x.aac", "x", ".wav"):
        with pytest.raises(AudioError, match=r"\.wav.*\.flac.*\.mp3.*\.ogg"):
            files.write(tmp_path / name, tone(1), RATE)
    with pytest.raises(AudioError, match="NaN"):
        files.write(tmp_path / "x.wav", np.full(10, np.nan, np.float32), RATE)
    with pytest.raises(AudioError, match=r"12345 Hz as \.mp3"):
        files.write(tmp_path / "x.mp3", tone(1), 12_345)
    with pytest.raises(AudioError, match="No such file or directory"):
        files.write(tmp_path / "gone" / "x.wav", tone(1), RATE)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match="Is a directory"):
        files.write(tmp_path / "folder.wav", tone(1), RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.wav"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_full_device(tmp_path: Path) -> None:
    (tmp_path / "x.wav").symlink_to("/dev/full")
    with pytest.raises(AudioError, match="No space left on device"):
        files.write(tmp_path / "x.wav", tone(1), RATE)
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "x.wav"
    files.write(path, tone(1), RATE)
    before = path.read_bytes()

    def half(self: Path, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data[:100])
        raise error

    monkeypatch.setattr(Path, "write_bytes", half)
    expected = AudioError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        files.write(path, tone(2), RATE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(tmp_path / "real.wav")
    files.write(tmp_path / "link.wav", tone(1), RATE)
    assert (tmp_path / "link.wav").is_symlink()
    assert len(files.read(tmp_path / "real.wav")) == RATE
