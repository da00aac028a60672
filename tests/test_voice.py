"""A voice on disk and back, and every way in which a file can fail to be one."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spark_mlx.errors import VoiceError
from spark_mlx.voice import LARGEST, MAX_SEMANTIC, Attributes, Voice

CODEC = "c0dec" * 8
ATTRIBUTES = Attributes(
    gender="female", pitch="high", speed="moderate", pitch_value=320, speed_value=4
)


def cloned(**changes: Any) -> Voice:
    fields: dict[str, Any] = {
        "name": "Zoë",
        "global_tokens": np.arange(32),
        "codec": CODEC,
        "origin": "cloned",
        "source": "zoe.wav",
        "semantic_tokens": np.array([1, 2, 255]),
        "transcript": "你好, \ud800 there",
        "consent": "Zoë, by mail",
        "created": "2025-01-31",
    }
    return Voice(**(fields | changes))


def created() -> Voice:
    return cloned(
        origin="created",
        source="seed 0",
        semantic_tokens=None,
        transcript=None,
        attributes=ATTRIBUTES,
    )


@pytest.mark.parametrize("voice", [cloned(), created()])
def test_saved_and_loaded(tmp_path: Path, voice: Voice) -> None:
    voice.save(tmp_path / "v.npz")
    loaded = Voice.load(tmp_path / "v.npz")
    assert loaded == voice
    assert hash(loaded) == hash(voice)
    assert loaded.global_tokens.dtype == np.int32
    assert list(tmp_path.iterdir()) == [tmp_path / "v.npz"]
    with np.load(tmp_path / "v.npz", allow_pickle=False) as arrays:
        assert arrays["global_tokens"].dtype == np.int32
        assert json.loads(arrays["meta"].item())["name"] == "Zoë"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"global_tokens": np.arange(1, 33)},
        {"semantic_tokens": np.array([1, 2])},
        {"attributes": ATTRIBUTES},
        {"consent": ""},
    ],
)
def test_voices_that_differ_are_not_equal(change: dict[str, Any]) -> None:
    assert cloned(**change) != cloned()


def test_tokens_are_a_read_only_copy() -> None:
    tokens = np.arange(32, dtype=np.int32)
    voice = cloned(global_tokens=tokens)
    tokens[0] = 7
    assert voice.global_tokens[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        voice.global_tokens[0] = 7


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"global_tokens": np.array([1, -1])}, "global tokens reach from -1 to 1"),
        ({"global_tokens": np.array([2**31])}, "global tokens reach"),
        ({"global_tokens": np.zeros((1, 32), int)}, "global tokens are not a row"),
        ({"global_tokens": np.zeros(32)}, "global tokens are not a row"),
        ({"global_tokens": np.zeros(0, int)}, "global tokens are not a row"),
        ({"semantic_tokens": np.array([-5])}, "semantic tokens reach"),
        ({"semantic_tokens": None}, "belong together"),
        ({"transcript": None}, "belong together"),
        ({"transcript": 3}, "transcript is not text"),
        ({"name": None}, "name is not text"),
        ({"origin": "found"}, "origin is 'found'"),
        ({"created": "yesterday"}, "date is 'yesterday'"),
    ],
)
def test_impossible_voices(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(VoiceError, match=complaint):
        cloned(**change)


@pytest.mark.parametrize("change", [{"gender": 1}, {"pitch_value": 3.5}, {"speed_value": -1}])
def test_impossible_attributes(change: dict[str, Any]) -> None:
    with pytest.raises(VoiceError, match=next(iter(change))):
        dataclasses.replace(ATTRIBUTES, **change)


def test_check() -> None:
    cloned().check(CODEC, 32, 4096, 256)
    created().check(CODEC, 32, 4096, 1)  # no semantic tokens, so none can be out of range
    with pytest.raises(
        VoiceError, match=r"another codec \(c0decc0decc0\).*\(feedfeedfeed\); clone it"
    ):
        cloned().check("feed" * 10, 32, 4096, 256)
    with pytest.raises(VoiceError, match=r"another codec.*create it again"):
        created().check("feed" * 10, 32, 4096, 256)
    with pytest.raises(VoiceError, match="32 global tokens instead of 16"):
        cloned().check(CODEC, 16, 4096, 256)
    with pytest.raises(VoiceError, match="global token 31 of 31"):
        cloned().check(CODEC, 32, 31, 256)
    with pytest.raises(VoiceError, match="semantic token 255 of 255"):
        cloned().check(CODEC, 32, 4096, 255)


def test_save_refuses(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"alice\.wav should end in \.npz"):
        cloned().save(tmp_path / "alice.wav")
    with pytest.raises(VoiceError, match="No such file or directory"):
        cloned().save(tmp_path / "gone" / "v.npz")
    with pytest.raises(VoiceError, match="too large"):
        cloned(transcript="a" * LARGEST).save(tmp_path / "v.npz")
    assert list(tmp_path.iterdir()) == []


def parts(**changes: Any) -> dict[str, Any]:
    """The arrays of a saved voice; None leaves one out, and `meta` changes its table."""
    meta = {
        "format": 1,
        "name": "v",
        "codec": CODEC,
        "origin": "cloned",
        "source": "v.wav",
        "transcript": None,
        "attributes": None,
        "consent": "",
        "created": "2025-01-31",
    }
    meta |= changes.pop("meta", {})
    meta = {key: value for key, value in meta.items() if value != "left out"}
    arrays = {"meta": np.array(json.dumps(meta)), "global_tokens": np.arange(32, dtype=np.int32)}
    return {k: v for k, v in (arrays | changes).items() if v is not None}


def test_the_parts_make_a_voice(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", **parts())
    assert Voice.load(tmp_path / "v.npz").name == "v"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"global_tokens": None}, "other parts"),
        ({"strange": np.zeros(1)}, "other parts"),
        ({"global_tokens": np.array([{}], dtype=object)}, "allow_pickle=False"),
        ({"global_tokens": np.zeros(32, np.float32)}, "row of whole numbers"),
        ({"global_tokens": np.array(["a"])}, "row of whole numbers"),
        ({"semantic_tokens": np.arange(3)}, "belong together"),
        ({"meta": {"transcript": "words"}}, "belong together"),
        ({"meta": {"format": 2}}, r"newer spark-mlx \(voice format 2.*update"),
        ({"meta": {"format": "left out"}}, "no format version"),
        ({"meta": {"format": 0}}, "no format version"),
        ({"meta": {"consent": "left out"}}, "lacks.*consent"),
        ({"meta": {"mood": "good"}}, "mood"),
        ({"meta": {"attributes": {"gender": "female"}}}, "attributes are wrong"),
        ({"meta": {"attributes": [1]}}, "attributes are wrong"),
    ],
)
def test_load_refuses_parts(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    np.savez(tmp_path / "v.npz", **parts(**change))
    with pytest.raises(VoiceError, match=complaint) as caught:
        Voice.load(tmp_path / "v.npz")
    assert str(caught.value).startswith(str(tmp_path / "v.npz"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "meta", [np.array(3), np.array(["{}"]), np.array("{"), np.array("[1]"), np.array("[" * 200_000)]
)
def test_load_refuses_descriptions(tmp_path: Path, meta: np.ndarray) -> None:
    np.savez(tmp_path / "v.npz", **(parts() | {"meta": meta}))
    with pytest.raises(VoiceError, match="no voice or is damaged"):
        Voice.load(tmp_path / "v.npz")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was executed",))


def test_load_refuses_files(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    with pytest.raises(VoiceError, match="No such file or directory"):
        Voice.load(path)
    with pytest.raises(VoiceError, match="Is a directory"):
        Voice.load(tmp_path)
    for data in (b"", b"not a zip", pickle.dumps(Bomb())):
        path.write_bytes(data)
        with pytest.raises(VoiceError, match="no voice or is damaged"):
            Voice.load(path)


def test_load_never_unpickles(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", **parts(global_tokens=np.array([Bomb()], dtype=object)))
    with pytest.raises(VoiceError, match="allow_pickle=False"):
        Voice.load(tmp_path / "v.npz")


def test_load_refuses_what_would_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    np.savez_compressed(path, **parts(global_tokens=np.zeros(LARGEST, np.int32)))
    assert path.stat().st_size < 100_000
    with pytest.raises(VoiceError, match="far too large"):
        Voice.load(path)
    # A header that claims an array of 2**62 bytes, with nothing behind it.
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<i4", "fortran_order": False, "shape": (2**60,)}
    )
    np.savez(path, meta=parts()["meta"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("global_tokens.npy", header.getvalue())
    with pytest.raises(VoiceError, match="no voice or is damaged"):
        Voice.load(path)
    path.write_bytes(bytes(LARGEST + 1))
    with pytest.raises(VoiceError, match="no voice or is damaged"):
        Voice.load(path)


def test_damaged_bytes_never_crash(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    cloned().save(path)
    data = path.read_bytes()
    chance = random.Random(0)
    damaged = [data[:end] for end in range(0, len(data), 7)]
    for _ in range(500):
        bent = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            bent[chance.randrange(len(bent))] = chance.randrange(256)
        damaged.append(bytes(bent))
    refused = 0
    for copy in damaged:
        path.write_bytes(copy)
        try:
            Voice.load(path)
        except VoiceError:
            refused += 1
    assert refused > len(damaged) / 2


def save_parts(path: Path, compression: int, **changes: Any) -> None:
    """A voice file as `np.savez` writes it, but compressed in another way."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in parts(**changes).items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{name}.npy", file.getvalue())


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_load_refuses_other_compressions(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "v.npz"
    save_parts(path, zipfile.ZIP_DEFLATED)
    assert Voice.load(path).name == "v"
    save_parts(path, compression)
    with pytest.raises(VoiceError, match="compressed in a way"):
        Voice.load(path)


@pytest.mark.parametrize("shape", [(10**30,), (2**62, 2**62), (-1,), (2**31, 0, 2**40), ("a",)])
def test_load_refuses_impossible_shapes(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    header = repr({"descr": "<i4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (118 - len(header)) + b"\n"
    path = tmp_path / "v.npz"
    np.savez(path, meta=parts()["meta"])
    with zipfile.ZipFile(path, "a") as archive:
        data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr("global_tokens.npy", data)
    with pytest.raises(VoiceError):
        Voice.load(path)


def test_load_refuses_a_pipe_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.npz")
    with pytest.raises(VoiceError, match="no regular file"):
        Voice.load(tmp_path / "v.npz")


def test_too_many_semantic_tokens(tmp_path: Path) -> None:
    tokens = np.zeros(MAX_SEMANTIC + 1, dtype=np.int32)
    assert cloned(semantic_tokens=tokens[1:], transcript="x")
    with pytest.raises(VoiceError, match="at most 4000"):
        cloned(semantic_tokens=tokens, transcript="x")


def test_errors_stay_short(tmp_path: Path) -> None:
    for change in ({"origin": "x" * 10**6}, {"created": "x" * 10**6}, {"m" * 10**6: 1}):
        np.savez(tmp_path / "v.npz", **parts(meta=change))
        with pytest.raises(VoiceError) as caught:
            Voice.load(tmp_path / "v.npz")
        assert len(str(caught.value)) < 1000
