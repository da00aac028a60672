"""The CPU's own ways of computing a layer give what MLX's plain operations give."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from conftest import ROOT
from spark_mlx.backends.cpu import native, ops
from spark_mlx.model.bicodec.wave_generator import ResidualUnit

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="native code is for Linux")


@pytest.fixture(params=["plain", "AVX2", "AVX-512", "products"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """How layers are computed: by each native kernel, and by MLX's products without them."""
    layers = native.layers()
    if request.param == "products":
        monkeypatch.setattr(native, "_extension", None)
        yield
        return
    if layers is None:
        pytest.skip("the native extension is not there")
    usual = layers.kernel()
    if not layers.use_kernel(request.param):
        pytest.skip("this CPU has no such vectors")
    yield
    layers.use_kernel(usual)


def normal(*shape: int) -> mx.array:
    return mx.array(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


def close(a: mx.array, b: mx.array, tolerance: float = 2e-5) -> None:
    assert a.shape == b.shape
    scale = float(mx.abs(b).max())
    assert np.abs(np.array(a) - np.array(b)).max() <= tolerance * max(scale, 1)


def same_gradients(
    ours: Callable[..., mx.array],
    mlx: Callable[..., mx.array],
    *inputs: mx.array,
    tolerance: float = 2e-5,
) -> None:
    """Both functions give the same, and the same gradients by all inputs."""
    given = normal(*mlx(*inputs).shape)
    (y,), gradients = mx.vjp(ours, list(inputs), [given])
    (expected,), expected_gradients = mx.vjp(mlx, list(inputs), [given])
    close(y, expected, tolerance)
    for found, right in zip(gradients, expected_gradients, strict=True):
        close(found, right, tolerance)


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
    x, bias = normal(2, frames, channels), normal(out)
    weight = normal(out, kernel, channels // groups)

    def ours(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        return ops.conv1d(x, weight, bias, stride, padding, dilation, groups, training=True)

    def mlx(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        return mx.conv1d(x, weight, stride, padding, dilation, groups) + bias

    close(
        ops.conv1d(x, weight, bias, stride, padding, dilation, groups, False), mlx(x, weight, bias)
    )
    same_gradients(ours, mlx, x, weight, bias)


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
    x, bias = normal(2, frames, channels), normal(out)
    weight = normal(out, kernel, channels // groups)

    def ours(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        return ops.conv_transpose1d(x, weight, bias, stride, padding, output_padding, groups)

    def mlx(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        y = mx.conv_transpose1d(
            x, weight, stride, padding, output_padding=output_padding, groups=groups
        )
        return y + bias

    same_gradients(ours, mlx, x, weight, bias)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("channels", [1, 7, 300])
def test_snake(channels: int) -> None:
    x, alpha = 20 * normal(2, 90, channels), 0.1 + mx.abs(normal(channels))

    def mlx(x: mx.array, alpha: mx.array) -> mx.array:
        return x + mx.square(mx.sin(alpha * x)) / (alpha + 1e-9)

    # The phase is as exact as a product of two float32 can be.
    same_gradients(ops.snake, mlx, x, alpha, tolerance=3e-5)


@pytest.mark.usefixtures("way")
def test_gelu() -> None:
    x = 4 * normal(3, 7, 50_00)
    same_gradients(ops.gelu, nn.gelu, x, tolerance=1e-6)
    edges = mx.array([-1e30, -30.0, -9.0, -0.0, 0.0, 9.0, 1e30])
    close(ops.gelu(edges), nn.gelu(edges), tolerance=1e-6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [10, 40_000, 200_001])
def test_silu(size: int) -> None:
    x = mx.concatenate([10 * normal(size), mx.array([-1e30, -200.0, -88.0, 0.0, 88.0, 1e30])])
    close(ops.silu(x, training=False), nn.silu(x), tolerance=1e-6)
    same_gradients(lambda x: ops.silu(x, training=True), nn.silu, x, tolerance=1e-6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 40), (33, 33), (7, 50)])
def test_attention(queries: int, keys: int, causal: bool) -> None:
    def mlx(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        mask = "causal" if causal else None
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.3, mask=mask)

    def ours(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        return ops.attend(q, k, v, 0.3, causal)

    same_gradients(
        ours, mlx, normal(2, 6, queries, 8), normal(2, 3, keys, 8), 2 + normal(2, 3, keys, 8)
    )


@pytest.mark.parametrize("dilation", [1, 3, 9])
@pytest.mark.parametrize("frames", [1, 30, 7000])
def test_residual_unit(dilation: int, frames: int) -> None:
    unit = ResidualUnit(20, dilation)
    x = normal(2, frames, 20)
    unit.train()
    expected = unit(x)
    unit.eval()
    close(unit(x), expected)


def test_layers_can_be_trained() -> None:
    unit = ResidualUnit(8, 3)
    unit.train()
    x = normal(1, 30, 8)
    loss, gradients = nn.value_and_grad(unit, lambda unit: mx.square(unit(x)).mean())(unit)
    assert loss.item() > 0
    assert float(mx.abs(gradients["block"][1]["weight"]).max()) > 0


@pytest.mark.usefixtures("way")
def test_inputs_with_gaps_in_memory() -> None:
    x = normal(1, 8, 60).swapaxes(1, 2)
    alpha = mx.ones((8,))
    close(ops.snake(x, alpha), x + mx.square(mx.sin(x)))
    every_other = normal(40)[::2]
    close(ops.gelu(every_other), nn.gelu(every_other), tolerance=1e-6)


# The BLAS.


@linux_only
def test_products_go_to_openblas() -> None:
    layers = native.layers()
    if layers is None:
        pytest.skip("the native extension is not there")
    before = layers.calls()
    mx.eval(normal(30, 40) @ normal(40, 50))
    assert layers.calls() == before + 1


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
