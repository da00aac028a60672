"""Every entry point of the native extension refuses what does not fit, and stays within its arrays.

The arrays lie between guards; `make sanitize` runs these tests with every access checked.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spark_mlx.backends.cpu import native

pytestmark = pytest.mark.skipif(native.layers() is None, reason="the native extension is not there")

Array = npt.NDArray[Any]
Arguments = dict[str, Any]

GUARD = 64  # numbers before and after an array
UNTOUCHED = 12345.0
REFUSALS = (ValueError, TypeError, MemoryError)

HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM = 64, 96, 4, 2, 16
LAYER = ("norm1", "norm2", "q", "k", "v", "o", "gate", "up", "down", "q_bias", "k_bias", "v_bias")
SIZES = ("batch", "frames", "in", "kernel", "stride", "padding", "dilation", "groups")


def extension() -> Any:
    layers = native.layers()
    assert layers is not None
    return layers


# Arrays between guards.


_guarded: dict[int, Array] = {}  # address of an array → all of its memory, which it keeps alive


def guarded(array: Array) -> Array:
    """A copy with guards around it in memory."""
    whole = np.full(array.size + 2 * GUARD, UNTOUCHED, np.float32).view(array.dtype)
    inside = whole[GUARD : GUARD + array.size]
    inside[:] = array.ravel()
    _guarded[inside.ctypes.data] = whole.view(np.float32)
    return inside


def guards_hold(array: object) -> bool:
    whole = _guarded.get(array.ctypes.data) if isinstance(array, np.ndarray) else None
    if whole is None:
        return True
    return bool((whole[:GUARD] == UNTOUCHED).all() and (whole[-GUARD:] == UNTOUCHED).all())


def floats(*shape: int) -> Array:
    return guarded(np.random.default_rng(1).standard_normal(shape).astype(np.float32))


def words(*shape: int) -> Array:
    return guarded(np.random.default_rng(1).integers(0, 2**31, shape, np.uint32))


# Calls that fit, by name and argument.


def conv_sizes(**changes: int) -> tuple[int, ...]:
    sizes = {
        "batch": 2, "frames": 30, "in": 8, "kernel": 3, "stride": 1, "padding": 2, "dilation": 2,
        "groups": 2, "out_frames": 30, "out": 6,
    } | changes  # fmt: skip
    return tuple(sizes.values())


def conv() -> Arguments:
    return {
        "x": floats(2, 30, 8),
        "weight": floats(6, 3, 4),
        "bias": floats(6),
        "y": floats(2, 30, 6),
        "sizes": conv_sizes(),
    }


def conv_transpose() -> Arguments:
    sizes = conv_sizes(kernel=5, stride=3, padding=1, dilation=1, groups=1, out_frames=91)
    return {
        "x": floats(2, 30, 8),
        "weight": floats(6, 5, 8),
        "bias": floats(6),
        "y": floats(2, 91, 6),
        "sizes": sizes,
    }


def conv_gradient() -> Arguments:
    return {
        "x": floats(2, 30, 8),
        "given": floats(2, 30, 6),
        "by_weight": floats(3, 8, 6),
        "sizes": conv_sizes(groups=1),
    }


def snake_gradient() -> Arguments:
    return {
        "x": floats(40, 5),
        "alpha": abs(floats(5)),
        "given": floats(40, 5),
        "by_x": floats(40, 5),
        "by_alpha": floats(5),
        "channels": 5,
    }


def residual_unit() -> Arguments:
    return {
        "x": floats(2, 20, 6),
        "alpha1": floats(6),
        "dilated": floats(6, 7, 6),
        "bias1": floats(6),
        "alpha2": floats(6),
        "pointwise": floats(6, 6),
        "bias2": floats(6),
        "y": floats(2, 20, 6),
        "row": 1,
        "frames": 20,
        "channels": 6,
        "kernel": 7,
        "dilation": 3,
    }


def packed(rows: int, columns: int) -> Any:
    return extension().pack(floats(rows, columns), None, None, rows, columns, 32)


def layer() -> tuple[Any, ...]:
    queries, keys = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    shapes: dict[str, tuple[int, ...]] = {
        "norm1": (HIDDEN,), "norm2": (HIDDEN,), "q": (queries, HIDDEN), "k": (keys, HIDDEN),
        "v": (keys, HIDDEN), "o": (HIDDEN, queries), "gate": (INTERMEDIATE, HIDDEN),
        "up": (INTERMEDIATE, HIDDEN), "down": (HIDDEN, INTERMEDIATE), "q_bias": (queries,),
        "k_bias": (keys,), "v_bias": (keys,),
    }  # fmt: skip
    return tuple(packed(*s) if len(s) == 2 else floats(*s) for s in shapes.values())


def decoder(head_dim: int = HEAD_DIM, layers: int = 2) -> Arguments:
    return {
        "sizes": (HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, head_dim),
        "eps": 1e-6,
        "norm": floats(HIDDEN),
        "frequencies": floats(head_dim // 2),
        "layers": [layer() for _ in range(layers)],
    }


def decode() -> Arguments:
    made = extension().decoder(*decoder().values())
    first, second = extension().cache(made), extension().cache(made)
    return {
        "decoder": made,
        "caches": [first, second, first],
        "x": floats(3, HIDDEN),
        "y": floats(3, HIDDEN),
    }


VALID: dict[str, Callable[[], Arguments]] = {
    "snake": lambda: {"x": floats(40, 5), "alpha": floats(5), "y": floats(40, 5), "channels": 5},
    "gelu": lambda: {"x": floats(99), "y": floats(99)},
    "silu": lambda: {"x": floats(99), "y": floats(99)},
    "softmax": lambda: {"x": floats(3, 4, 7), "columns": 7, "queries": 4},
    "conv": conv,
    "conv_transpose": conv_transpose,
    "residual_unit": residual_unit,
    "conv_gradient": conv_gradient,
    "snake_gradient": snake_gradient,
    "gelu_gradient": lambda: {"x": floats(9), "given": floats(9), "by_x": floats(9)},
    "silu_gradient": lambda: {"x": floats(9), "given": floats(9), "by_x": floats(9)},
    "softmax_gradient": lambda: {"y": floats(3, 7), "given": floats(3, 7), "columns": 7},
    "pack": lambda: {
        "weight": words(40, 16),
        "scales": floats(40, 2),
        "biases": floats(40, 2),
        "rows": 40,
        "columns": 128,
        "bits": 4,
    },
    "times": lambda: {"matrix": packed(40, 64), "x": floats(3, 64), "y": floats(3, 40), "count": 3},
    "decoder": decoder,
    "cache": lambda: {"decoder": extension().decoder(*decoder().values())},
    "decode": decode,
    "draw": lambda: {"logits": floats(50), "noise": floats(9), "temperature": 0.8, "top_p": 0.9},
}


def call(name: str, arguments: Arguments) -> Any:
    return getattr(extension(), name)(*arguments.values())


def arrays_of(name: str) -> list[str]:
    return [key for key, value in VALID[name]().items() if isinstance(value, np.ndarray)]


def numbers_of(name: str) -> list[str]:
    return [key for key, value in VALID[name]().items() if isinstance(value, int)]


ARRAYS = [(name, key) for name in VALID for key in arrays_of(name)] if native.layers() else []
NUMBERS = [(name, key) for name in VALID for key in numbers_of(name)] if native.layers() else []


def test_every_entry_point_is_tried() -> None:
    elsewhere = {  # tests/test_native.py and test_cpu.py
        "open_blas", "redirect", "calls", "limit_heaps", "reserve_core", "threads", "kernel",
        "use_kernel",
    }  # fmt: skip
    functions = {name for name in dir(extension()) if not name.startswith("__")}
    assert functions == set(VALID) | elsewhere


@pytest.mark.parametrize("name", VALID)
def test_what_fits_is_computed_within_its_arrays(name: str) -> None:
    arguments = VALID[name]()
    call(name, arguments)
    assert all(guards_hold(value) for value in arguments.values())


LENGTHS: dict[str, Callable[[Array], Array]] = {
    "too short": lambda a: guarded(a[:-1]),
    "too long": lambda a: guarded(np.append(a, a[:1])),
    "empty": lambda a: a[:0],
}
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "float64": lambda a: a.astype(np.float64),
    "float16": lambda a: np.ones(a.size, np.float16),
    "int32": lambda a: a.astype(np.int32),
    "swapped bytes": lambda a: a.astype(">f4"),
    "bytes": lambda a: np.frombuffer(a.tobytes(), np.int8),
    "gaps": lambda a: np.repeat(a, 2)[::2],
    "one number, repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    "at an odd address": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1),
}


@pytest.mark.parametrize(("name", "key"), ARRAYS)
@pytest.mark.parametrize("change", LENGTHS)
def test_an_array_of_another_length_is_refused(name: str, key: str, change: str) -> None:
    arguments = VALID[name]()
    changed = arguments | {key: LENGTHS[change](arguments[key])}
    if (name, change) in {("draw", "too short"), ("draw", "too long"), ("softmax", "empty")}:
        pytest.skip("that fits")
    with pytest.raises(ValueError, match=r"^(len\()?\w+\)? (has|is) -?\d+.*expected"):
        call(name, changed)
    assert all(guards_hold(value) for value in arguments.values())


@pytest.mark.parametrize(("name", "key"), ARRAYS)
@pytest.mark.parametrize("change", LAYOUTS)
def test_an_array_of_another_layout_is_named(name: str, key: str, change: str) -> None:
    arguments = VALID[name]()
    with pytest.raises(ValueError, match=rf"^{key} (holds|has gaps|cannot|lies).*expected"):
        call(name, arguments | {key: LAYOUTS[change](arguments[key])})


@pytest.mark.parametrize(("name", "key"), ARRAYS)
def test_another_object_than_an_array_is_named(name: str, key: str) -> None:
    for other in (None, 3, "text", [1.0]):
        with pytest.raises(TypeError, match=f"{key}: expected an array of (float|uint)32, not"):
            call(name, VALID[name]() | {key: other})


@pytest.mark.parametrize(("name", "key"), NUMBERS)
@pytest.mark.parametrize("value", [-1, 2**31 - 1, 2**31, 2**63, -(10**30), 10**30])
def test_a_number_out_of_its_bounds_is_refused(name: str, key: str, value: int) -> None:
    with pytest.raises(ValueError, match=r"(has|is) .*expected"):
        call(name, VALID[name]() | {key: value})


@pytest.mark.parametrize("name", ["conv", "conv_transpose", "conv_gradient"])
@pytest.mark.parametrize("index", range(10))
@pytest.mark.parametrize("value", [-1, 2**31 - 1, 2**31, 2**63])
def test_a_size_out_of_its_bounds_is_refused(name: str, index: int, value: int) -> None:
    arguments = VALID[name]()
    sizes = list(arguments["sizes"])
    sizes[index] = value
    with pytest.raises(ValueError, match=r"(has|is) .*expected"):
        call(name, arguments | {"sizes": tuple(sizes)})


def test_a_constant_array_is_not_written() -> None:
    y = floats(99)
    y.flags.writeable = False
    with pytest.raises(ValueError, match="y cannot be written"):
        extension().gelu(floats(99), y)


# What was read or written past its end before shapes were checked.


def test_more_channels_than_the_weights_have() -> None:
    arguments = conv() | {"x": floats(2, 30, 16), "sizes": conv_sizes(**{"in": 16})}
    with pytest.raises(ValueError, match="weight has 72 numbers, expected 144"):
        call("conv", arguments)


def test_more_queries_than_keys() -> None:
    with pytest.raises(ValueError, match="queries is 8, expected no more than columns"):
        extension().softmax(floats(8, 7), 7, 8)


def test_an_even_kernel_of_a_residual_unit() -> None:
    with pytest.raises(ValueError, match="kernel is 6, expected an odd number"):
        call("residual_unit", residual_unit() | {"kernel": 6, "dilated": floats(6, 6, 6)})


def test_more_noise_than_logits() -> None:
    with pytest.raises(ValueError, match=r"len\(noise\) is 51"):
        extension().draw(floats(50), floats(51), 1.0, 1.0)


def test_a_matrix_of_another_shape() -> None:
    arguments = decoder()
    items = list(arguments["layers"][1])
    items[LAYER.index("k")] = packed(HEADS * HEAD_DIM, HIDDEN)
    arguments["layers"][1] = tuple(items)
    with pytest.raises(ValueError, match="k is a matrix of 64 x 64, expected 32 x 64"):
        call("decoder", arguments)


def test_heads_that_cannot_be_shared() -> None:
    arguments = decoder() | {"sizes": (HIDDEN, INTERMEDIATE, HEADS, 3, HEAD_DIM)}
    with pytest.raises(ValueError, match="heads is 4, expected a multiple of kv_heads"):
        call("decoder", arguments)


def test_a_cache_of_another_decoder() -> None:
    small = extension().decoder(*decoder(layers=1).values())
    arguments = decode() | {"caches": [extension().cache(small)] * 3}
    with pytest.raises(ValueError, match=r"caches\[0\] is for 1 layers"):
        call("decode", arguments)


def test_capsules_of_another_kind() -> None:
    arguments = decode()
    for key, other in (("decoder", packed(4, 4)), ("caches", [arguments["decoder"]] * 3)):
        with pytest.raises(TypeError, match=r"expected a spark_mlx\.(decoder|cache)"):
            call("decode", arguments | {key: other})
    with pytest.raises(TypeError, match=r"expected a spark_mlx\.matrix"):
        call("times", VALID["times"]() | {"matrix": arguments["decoder"]})


def test_a_cache_belongs_to_one_call_at_a_time() -> None:
    """Two threads on one cache: a call computes or is refused."""
    arguments = decode()
    cache = extension().cache(arguments["decoder"])
    computed: list[int] = []
    refused: list[str] = []

    def work() -> None:
        y = np.empty((64, HIDDEN), np.float32)
        x = np.ones((64, HIDDEN), np.float32)
        for _ in range(30):
            try:
                extension().decode(arguments["decoder"], [cache] * 64, x, y)
                computed.append(64)
            except ValueError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computed
    assert all("in use by another thread" in message for message in refused)


# Anything else.


def mutated(rng: random.Random, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return rng.choice(
            [
                lambda: guarded(np.resize(value, rng.randrange(2 * value.size + 2))),
                lambda: np.ones(
                    value.size, rng.choice([np.float64, np.int8, np.uint32, np.complex64])
                ),
                lambda: np.repeat(value, 3)[:: rng.choice([1, 2, 3, -1])],
                lambda: value.reshape(1, -1, 1),
                lambda: np.full(
                    value.size, rng.choice([np.nan, np.inf, -np.inf, 3e38]), np.float32
                ),
                lambda: value.tobytes(),
                lambda: rng.choice([None, 1, b"", bytearray(7), "a", object()]),
            ]
        )()
    if isinstance(value, bool | int):
        return rng.choice(
            [0, -1, 1, 2, 3, 5, 64, 2**31 - 1, -(2**31), 2**32, 2**64, rng.randrange(99), 1.5, None]
        )
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e38, None])
    if isinstance(value, tuple | list):
        items = list(value)
        at = rng.randrange(len(items))
        items[at] = mutated(rng, items[at])
        if rng.random() < 0.2:
            items = rng.choice([items[:-1], items * 2, []])
        return type(value)(items)
    return rng.choice([None, 0, packed(3, 3), object()])


@pytest.mark.parametrize("seed", range(8))
def test_no_arguments_lead_past_an_end(seed: int) -> None:
    rng = random.Random(seed)
    valid = {name: make() for name, make in VALID.items()}
    refused = 0
    for _ in range(500):
        name = rng.choice(list(VALID))
        arguments = dict(valid[name])
        for key in rng.sample(list(arguments), min(len(arguments), rng.choice([1, 1, 1, 2, 3]))):
            arguments[key] = mutated(rng, arguments[key])
        try:
            call(name, arguments)
        except REFUSALS:
            refused += 1
        for value in arguments.values():
            assert guards_hold(value), name
    assert 200 < refused < 500
