"""Torch pickles are read without torch, and a pickle that would run something is refused."""

from __future__ import annotations

import os
import pickle
import random
import resource
import struct
import sys
import time
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spark_mlx.convert.pickles import read_records
from spark_mlx.convert.records import read_floats
from spark_mlx.errors import ModelError

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


class Storage:
    """What torch.save calls a storage: its numbers go to the file beside the pickle."""

    def __init__(self, numbers: np.ndarray, kind: str = "FloatStorage") -> None:
        self.numbers, self.kind = numbers, kind


class Tensor:
    """Pickles itself as torch.Tensor does."""

    def __init__(
        self,
        storage: Storage,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        offset: int = 0,
        hooks: object = None,
    ) -> None:
        hooks = OrderedDict() if hooks is None else hooks
        self.arguments = (storage, offset, shape, strides, False, hooks)

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Calls:
    """Unpickles as the result of a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.fixture(autouse=True)
def torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules called torch with the few names that the pickles here mention."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, names in (
        (torch, ["FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "LongStorage"]),
        (utils, ["_rebuild_tensor_v2", "_rebuild_parameter"]),
    ):
        for name in names:
            setattr(module, name, type(name, (), {"__module__": module.__name__}))
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Pickler(pickle.Pickler):
    """Sets storages aside as torch.save does; `tail` is what the legacy form adds to their ids."""

    tail: ClassVar[tuple[object, ...]] = ()

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file, protocol=2)
        self.storages: list[Storage] = []

    def persistent_id(self, obj: object) -> object:
        if not isinstance(obj, Storage):
            return None
        if obj not in self.storages:
            self.storages.append(obj)
        kind, key = getattr(sys.modules["torch"], obj.kind), str(self.storages.index(obj))
        return ("storage", kind, key, "cpu", obj.numbers.size, *self.tail)


class LegacyPickler(Pickler):
    tail = (None,)


def write_zip(path: Path, state: object) -> Path:
    stream = BytesIO()
    pickler = Pickler(stream)
    pickler.dump(state)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        for key, storage in enumerate(pickler.storages):
            archive.writestr(f"archive/data/{key}", storage.numbers.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def write_legacy(path: Path, state: object) -> Path:
    stream = BytesIO()
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    for header in (0x1950A86A20F9469CFC6C, 1001, system):
        pickle.dump(header, stream, protocol=2)
    pickler = LegacyPickler(stream)
    pickler.dump(state)
    # torch sorts the keys, so that the order of the file is not that of the pickle.
    keys = sorted(map(str, range(len(pickler.storages))), reverse=True)
    pickle.dump(keys, stream, protocol=2)
    for key in keys:
        numbers = pickler.storages[int(key)].numbers
        stream.write(struct.pack("<q", numbers.size) + numbers.tobytes())
    path.write_bytes(stream.getvalue())
    return path


Write = Callable[[Path, object], Path]
both = pytest.mark.parametrize("write", [write_zip, write_legacy])


def state_dict() -> OrderedDict[str, Tensor]:
    shared = Storage(np.arange(20, dtype=np.float32))
    half = Storage(np.array([0.5, -2], dtype=np.float16), "HalfStorage")
    bfloat = Storage(np.array([0x3FC0, 0xC000], dtype=np.uint16), "BFloat16Storage")
    double = Storage(np.array([0.25]), "DoubleStorage")
    state = OrderedDict(
        plain=Tensor(Storage(MATRIX), (3, 4), (4, 1)),
        transposed=Tensor(Storage(MATRIX), (4, 3), (1, 4)),
        inside=Tensor(shared, (2, 3), (5, 1), offset=6),
        scalar=Tensor(shared, (), (), offset=19),
        empty=Tensor(shared, (0, 3), (3, 1)),
        half=Tensor(half, (2,), (1,)),
        bfloat=Tensor(bfloat, (2,), (1,)),
        double=Tensor(double, (1,), (1,)),
        count=Tensor(Storage(np.array([7]), "LongStorage"), (), ()),
    )
    # Modules add this attribute to their state dictionary, and it is pickled along.
    state._metadata = OrderedDict([("", {"version": 1})])  # type: ignore[attr-defined]
    return state


@both
def test_tensors_of_all_kinds(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "weights.bin", state_dict())
    records = read_records(path)
    expected = {
        "plain": MATRIX,
        "transposed": MATRIX.T,
        "inside": [[6, 7, 8], [11, 12, 13]],
        "scalar": 19,
        "empty": np.zeros((0, 3)),
        "half": [0.5, -2],
        "bfloat": [1.5, -2],
        "double": [0.25],
    }
    for name, values in expected.items():
        x = read_floats(path, name, records[name])
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        np.testing.assert_array_equal(x, values)
    assert records["count"].dtype == "I64"
    with pytest.raises(ModelError, match="count holds I64"):
        read_floats(path, "count", records["count"])


@both
def test_parameters(tmp_path: Path, write: Write) -> None:
    parameter = sys.modules["torch._utils"]._rebuild_parameter
    tensor = Tensor(Storage(MATRIX), (3, 4), (4, 1))
    path = write(tmp_path / "weights.bin", {"weight": Calls(parameter, tensor, True, {})})
    np.testing.assert_array_equal(read_floats(path, "weight", read_records(path)["weight"]), MATRIX)


def evil(marker: Path) -> dict[str, object]:
    touch = Calls(os.system, f"touch {marker}")
    evaluated = Calls(eval, f"open({str(marker)!r}, 'w')")
    storage = Storage(MATRIX)
    return {
        "at the top": touch,
        "as a tensor": {"weight": evaluated},
        "after a tensor": {"weight": Tensor(storage, (3, 4), (4, 1)), "more": [evaluated]},
        "in a tensor's hooks": {"weight": Tensor(storage, (3, 4), (4, 1), hooks=touch)},
        "as a shape": {"weight": Tensor(storage, touch, (4, 1))},  # type: ignore[arg-type]
    }


@both
@pytest.mark.parametrize("place", list(evil(Path())))
def test_programs_are_refused(tmp_path: Path, write: Write, place: str) -> None:
    marker = tmp_path / "marker"
    path = write(tmp_path / "weights.bin", evil(marker)[place])
    with pytest.raises(ModelError, match=r"(posix|nt|__builtin__)\.(system|eval)") as caught:
        read_records(path)
    assert str(path) in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(Vtouch x\ntR.",  # where a legacy file has its magic number
        b"cbuiltins\ngetattr\n(ccollections\nOrderedDict\nVx\ntR.",
        b"\x80\x04\x8c\x0bcollections\x8c\x16OrderedDict.fromkeys.x\x93.",
        b"\x80\x04\x8c\x0ccollections.x\x8c\x0bOrderedDict\x93.",
        b"(Vtouch x\nios\nsystem\n.",
        b"\x80\x02\x82\x01.",  # a name from the process-wide registry of extensions
    ],
)
def test_other_ways_to_name_things(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(program)
    with pytest.raises(ModelError, match=str(path)):
        read_records(path)


@both
@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Tensor(Storage(MATRIX), (3, 5), (5, 1)), "beyond"),
        (Tensor(Storage(MATRIX), (3, 4), (4, 1), offset=1), "beyond"),
        (Tensor(Storage(MATRIX), (3, 4), (4, 1), offset=-1), "impossible shape"),
        (Tensor(Storage(MATRIX), (3, 4), (-4, 1)), "impossible shape"),
        (Tensor(Storage(MATRIX), (3, 4), (4,)), "impossible shape"),
        (3, "3|int"),
    ],
)
def test_impossible_tensors(tmp_path: Path, write: Write, tensor: object, message: str) -> None:
    path = write(tmp_path / "weights.bin", {"weight": tensor})
    with pytest.raises(ModelError, match=message):
        read_records(path)


@both
def test_no_table(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ModelError, match="not a table of tensors"):
        read_records(write(tmp_path / "weights.bin", [1, 2]))


@both
def test_truncated_files(tmp_path: Path, write: Write) -> None:
    data = write(tmp_path / "whole.bin", state_dict()).read_bytes()
    path = tmp_path / "part.bin"
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError):
            read_records(path)


@both
def test_damaged_files(tmp_path: Path, write: Write) -> None:
    """Whatever the damage, the answer is records that lie in the file, or a ModelError."""
    data = write(tmp_path / "whole.bin", state_dict()).read_bytes()
    path = tmp_path / "damaged.bin"
    draw = random.Random(0)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            records = read_records(path)
        except ModelError:
            continue
        for name, record in records.items():
            if record.dtype.startswith(("F", "BF")):
                read_floats(path, name, record)


def test_compressed_zip(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(ModelError, match="compressed"):
        read_records(path)


def test_other_zip(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match="not one that torch"):
        read_records(path)


TUPLES = b")" + b"2\x86" * 60  # () doubled sixty times over: (t, t) of (t, t) of …
DEEP = b")" + b"\x85" * 500_000


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}" + TUPLES + b"K\x01s.",
        b"\x80\x02}(" + TUPLES + b"K\x01u.",
        b"\x80\x02(" + TUPLES + b"K\x01d.",
        b"\x80\x02}" + DEEP + b"K\x01s.",
        b"\x80\x02ccollections\nOrderedDict\n]]" + TUPLES + b"aNaa\x85R.",  # the key of a pair
        b"\x80\x02" + TUPLES + b"Q.",
        b"\x80\x02" + DEEP + b"Q.",
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        + TUPLES
        + b"X\x00\x00\x00\x00K\x01tQ.",
        b"\x80\x02}r\xff\xff\xff\x7f.",  # an index of the memo that takes gigabytes
        b"\x80\x02}p999999999\n.",
        b"\x80\x04\x8f(" + TUPLES + b"\x90.",  # a set
        b"\x80\x02c" + b"m" * 5_000_000 + b"\n" + b"n" * 5_000_000 + b"\n.",
        b"\x80\x02(X\x40\x42\x0f\x00" + b"x" * 1_000_000 + b"tQ.",
        b"\x80\x02}X\x40\x42\x0f\x00" + b"x" * 1_000_000 + b"K\x01s.",
        b"\x80\x02\x8b\x40\x42\x0f\x00" + b"\x7f" * 1_000_000 + b"Q.",  # a number of megabytes
        b"\x80\x02" + b"N0" * 300_000 + b"N.",
        b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".",
    ],
)
def test_programs_that_take_for_ever_are_refused(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "weights.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    for data in (path.read_bytes(), program):
        path.write_bytes(data)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.process_time()
        with pytest.raises(ModelError) as caught:
            read_records(path)
        assert time.process_time() - begun < 5
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most
        assert grown * (1 if sys.platform == "darwin" else 1024) < 500e6
        assert len(str(caught.value)) < 1000
        assert "\n" not in str(caught.value)


@both
def test_strides_do_not_multiply_what_is_stored(tmp_path: Path, write: Write) -> None:
    repeated = Tensor(Storage(MATRIX), (1000, 1000, 12), (0, 0, 1))
    with pytest.raises(ModelError, match="repeats numbers"):
        read_records(write(tmp_path / "weights.bin", {"weight": repeated}))
