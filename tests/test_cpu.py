"""The CPU's own ways of computing a layer give what MLX's plain operations give."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_unflatten

from conftest import ROOT
from spark_mlx.backends.cpu import native
from spark_mlx.backends.cpu.accelerate import accelerate
from spark_mlx.backends.cpu.activations import CPUGELU, CPUSiLU, CPUSnake
from spark_mlx.backends.cpu.attention import CPUAttention, RotaryTables
from spark_mlx.backends.cpu.conv import CPUConv1d, CPUConvTranspose1d, CPUResidualUnit
from spark_mlx.model import layers
from spark_mlx.model.bicodec.wave_generator import ResidualUnit
from spark_mlx.model.layers import Mask

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="native code is for Linux")


@pytest.fixture(params=["plain", "AVX2", "AVX-512", "products"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """How layers are computed: by each native kernel, and by MLX's products without them."""
    extension = native.layers()
    if request.param == "products":
        monkeypatch.setattr(native, "_extension", None)
        yield
        return
    if extension is None:
        pytest.skip("the native extension is not there")
    usual = extension.kernel()
    if not extension.use_kernel(request.param):
        pytest.skip("this CPU has no such vectors")
    yield
    extension.use_kernel(usual)


def normal(*shape: int) -> mx.array:
    return mx.array(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


def close(a: mx.array, b: mx.array, tolerance: float = 2e-5) -> None:
    assert a.shape == b.shape
    scale = float(mx.abs(b).max())
    assert np.abs(np.array(a) - np.array(b)).max() <= tolerance * max(scale, 1)


def same(fitted: nn.Module, plain: nn.Module, *inputs: mx.array, tolerance: float = 2e-5) -> None:
    """A fitted layer gives what the plain one gives, and in training the same gradients by all
    inputs and parameters."""
    expected = plain(*inputs)
    fitted.eval()
    close(fitted(*inputs), expected, tolerance)
    given = normal(*expected.shape)

    def outputs(layer: nn.Module) -> tuple[mx.array, list[mx.array]]:
        layer.train()
        flat = tree_flatten(layer.parameters())
        names, parameters = [name for name, _ in flat], [array for _, array in flat]

        def function(*arrays: mx.array) -> mx.array:
            layer.update(tree_unflatten(list(zip(names, arrays[len(inputs) :], strict=True))))
            return layer(*arrays[: len(inputs)])

        (y,), gradients = mx.vjp(function, [*inputs, *parameters], [given])
        layer.update(tree_unflatten(list(zip(names, parameters, strict=True))))
        return y, gradients

    (y, gradients), (_, right) = outputs(fitted), outputs(plain)
    close(y, expected, tolerance)
    for found, exact in zip(gradients, right, strict=True):
        close(found, exact, tolerance)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("frames", [1, 2, 40, 5000])
@pytest.mark.parametrize(
    ("channels", "out", "kernel", "stride", "padding", "dilation", "groups"),
    [
        (8, 12, 7, 1, 3, 1, 1),
        (24, 40, 7, 1, 27, 9, 1),
        (24, 24, 3, 1, 3, 3, 1),
        (1, 16, 10, 5, 5, 1, 1),
        (16, 16, 3, 2, 2, 1, 1),
        (24, 24, 1, 1, 0, 1, 1),
        (24, 1, 7, 1, 3, 1, 1),
        (16, 32, 6, 1, 3, 1, 4),
        (12, 12, 7, 1, 3, 1, 12),
        (12, 12, 4, 2, 1, 1, 12),
    ],
)
def test_conv1d(
    frames: int,
    channels: int,
    out: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
) -> None:
    if frames + 2 * padding < dilation * (kernel - 1) + 1:
        pytest.skip("shorter than the kernel")
    plain = layers.Conv1d(channels, out, kernel, stride, padding, dilation, groups)
    plain.weight, plain.bias = normal(*plain.weight.shape), normal(out)
    same(CPUConv1d.from_plain(plain), plain, normal(2, frames, channels))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("frames", [1, 3, 700])
@pytest.mark.parametrize(
    ("channels", "out", "kernel", "stride", "padding", "output_padding", "groups"),
    [
        (24, 12, 16, 8, 4, 0, 1),
        (24, 12, 11, 5, 3, 0, 1),
        (24, 12, 4, 2, 1, 0, 1),
        (6, 5, 3, 5, 0, 0, 1),
        (6, 6, 6, 3, 2, 1, 6),
        (6, 6, 4, 2, 1, 0, 6),
    ],
)
def test_conv_transpose1d(
    frames: int,
    channels: int,
    out: int,
    kernel: int,
    stride: int,
    padding: int,
    output_padding: int,
    groups: int,
) -> None:
    plain = layers.ConvTranspose1d(channels, out, kernel, stride, padding, output_padding, groups)
    plain.weight, plain.bias = normal(*plain.weight.shape), normal(out)
    same(CPUConvTranspose1d.from_plain(plain), plain, normal(2, frames, channels))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("channels", [1, 7, 300])
def test_snake(channels: int) -> None:
    plain = layers.Snake(channels)
    plain.alpha = 0.1 + mx.abs(normal(channels))
    # The phase is as exact as a product of two float32 can be.
    same(CPUSnake.from_plain(plain), plain, 20 * normal(2, 90, channels), tolerance=3e-5)


@pytest.mark.usefixtures("way")
def test_gelu() -> None:
    plain = layers.GELU()
    gelu = CPUGELU.from_plain(plain)
    same(gelu, plain, 4 * normal(3, 7, 50_00), tolerance=1e-6)
    edges = mx.array([-1e30, -30.0, -9.0, -0.0, 0.0, 9.0, 1e30])
    close(gelu(edges), plain(edges), tolerance=1e-6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [10, 40_000, 200_001])
def test_silu(size: int) -> None:
    x = mx.concatenate([10 * normal(size), mx.array([-1e30, -200.0, -88.0, 0.0, 88.0, 1e30])])
    plain = layers.SiLU()
    same(CPUSiLU.from_plain(plain), plain, x, tolerance=1e-6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 40), (33, 33), (7, 50)])
def test_attention(queries: int, keys: int, causal: bool) -> None:
    class Masked(nn.Module):
        def __init__(self, attend: nn.Module, mask: Mask) -> None:
            super().__init__()
            self.attend, self._mask = attend, mask

        def __call__(self, *arrays: mx.array) -> mx.array:
            return self.attend(*arrays, self._mask)

    plain = layers.ScaledDotProductAttention(8)
    fitted = CPUAttention.from_plain(plain)
    q, k, v = normal(2, 6, queries, 8), normal(2, 3, keys, 8), 2 + normal(2, 3, keys, 8)
    name: Mask = "causal" if causal else None
    same(Masked(fitted, name), Masked(plain, name), q, k, v)
    if causal:  # the same mask, as an array
        lower = mx.tril(mx.ones((queries, keys), mx.bool_), keys - queries)
        close(fitted(q, k, v, lower), plain(q, k, v, name))


@pytest.mark.parametrize("position", [0, 7, 2000])
def test_rotary_tables(position: int) -> None:
    plain = layers.RotaryEmbedding(16, 1e6)
    tables = RotaryTables.from_plain(plain)
    for x in (normal(2, 3, 5, 16), normal(1, 2, 1, 16)):
        close(tables(x, position), plain(x, position), tolerance=2e-4)


def test_a_model_is_fitted_from_outside() -> None:
    """Leaves are replaced and keep their parameters, and so are residual units around them."""
    unit = nn.Sequential(ResidualUnit(8, 3), layers.Conv1d(8, 4, 3), nn.Linear(4, 2))
    before = dict(tree_flatten(unit.parameters()))
    x = normal(1, 40, 8)
    expected = unit(x)
    accelerate(unit)
    after = dict(tree_flatten(unit.parameters()))
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
    kinds = [type(layer).__name__ for layer in unit.layers]
    assert kinds == ["CPUResidualUnit", "CPUConv1d", "Linear"]
    inner = [type(layer).__name__ for layer in unit.layers[0].block]
    assert inner == ["CPUSnake", "CPUConv1d", "CPUSnake", "CPUConv1d"]
    unit.eval()
    close(unit(x), expected)


@pytest.mark.parametrize("dilation", [1, 3, 9])
@pytest.mark.parametrize("frames", [1, 30, 7000])
def test_residual_unit(dilation: int, frames: int) -> None:
    plain = ResidualUnit(20, dilation)
    fitted = CPUResidualUnit.from_plain(plain)
    fitted.eval()
    x = normal(2, frames, 20)
    close(fitted(x), plain(x))


def test_layers_can_be_trained() -> None:
    unit = CPUResidualUnit.from_plain(ResidualUnit(8, 3))
    accelerate(unit)
    unit.train()
    x = normal(1, 30, 8)
    loss, gradients = nn.value_and_grad(unit, lambda unit: mx.square(unit(x)).mean())(unit)
    assert loss.item() > 0
    assert float(mx.abs(gradients["block"][1]["weight"]).max()) > 0


@pytest.mark.usefixtures("way")
def test_inputs_with_gaps_in_memory() -> None:
    x = normal(1, 8, 60).swapaxes(1, 2)
    close(CPUSnake.from_plain(layers.Snake(8))(x), x + mx.square(mx.sin(x)))
    every_other = normal(40)[::2]
    gelu = CPUGELU.from_plain(layers.GELU())
    close(gelu(every_other), nn.gelu(every_other), tolerance=1e-6)


# The BLAS.


@linux_only
def test_products_go_to_openblas() -> None:
    extension = native.layers()
    if extension is None:
        pytest.skip("the native extension is not there")
    before = extension.calls()
    mx.eval(normal(30, 40) @ normal(40, 50))
    assert extension.calls() == before + 1


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 16, 17, 100])
@pytest.mark.parametrize(("depth", "columns"), [(64, 4), (37, 5), (896, 1030), (3, 1), (16, 3)])
def test_products(rows: int, depth: int, columns: int) -> None:
    a, b = normal(rows, depth), normal(columns, depth)
    expected = np.array(a, dtype=np.float64) @ np.array(b, dtype=np.float64).T
    for product in (a @ b.T, a @ mx.contiguous(b.T), mx.contiguous(a.T).T @ b.T):
        assert np.abs(np.array(product) - expected).max() < 1e-3
    c = normal(rows, columns)
    for alpha, beta in ((1, 1), (0.5, 2)):
        added = np.array(mx.addmm(c, a, b.T, alpha=alpha, beta=beta))
        assert np.abs(added - (beta * np.array(c) + alpha * expected)).max() < 1e-3


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "tests",
        env={**os.environ, **environment},
    )


@linux_only
def test_without_native_code_the_numbers_are_the_same() -> None:
    code = (
        "from spark_mlx.backends.cpu import native\n"
        "from spark_mlx.diagnostics import selfcheck\n"
        "assert native.layers() is None\n"
        "print(all(check.passed for check in selfcheck.run()))"
    )
    done = run(code, SPARK_MLX_BACKEND="mlx")
    assert done.stdout.strip() == "True"


@linux_only
def test_a_fork_gets_threads_of_its_own() -> None:
    code = (
        "import os\n"
        "import mlx.core as mx\n"
        "from spark_mlx.backends.cpu import native\n"
        "import ctypes, numpy as np\n"
        "x, y = np.ones((4000, 64), np.float32), np.zeros((4000, 64), np.float32)\n"
        "a = np.ones(64, np.float32)\n"
        "native.start()\n"
        "n = native.layers()\n"
        "n.snake(x, a, y, 64)\n"
        "child = os.fork()\n"
        "y[:] = 0\n"
        "n.snake(x, a, y, 64)\n"
        "ok = abs(y - (1 + np.sin(1.0) ** 2)).max() < 1e-6\n"
        "if child == 0: os._exit(0 if ok else 1)\n"
        "print(ok and os.waitpid(child, 0)[1] == 0)"
    )
    if native.layers() is None:
        pytest.skip("the native extension is not there")
    assert run(code).stdout.strip() == "True"
