"""The native extension as a guest in the process: it comes with `start` and cleans up behind it."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import ROOT
from spark_mlx.backends.cpu import native

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="native code is for Linux")
needs_extension = pytest.mark.skipif(
    native.layers() is None, reason="the native extension is not there"
)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "tests",
        env={**os.environ, **environment},
    )


MAPPINGS = """
import pathlib

def mappings(only=""):
    '''Address, protection and file of the mappings of libraries.'''
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    found = [(line.split()[0], line.split()[1], line.split()[-1]) for line in lines]
    return {entry for entry in found if ".so" in entry[2] and only in entry[2]}
"""

# Left to itself, malloc keeps blocks as large as one that was freed in its heap from then on. A
# limit that was set stays as it is.
KEEPS_LARGE_BLOCKS = """
import ctypes

def keeps_large_blocks():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    for size in (5_000_000, 4_900_000):
        block = libc.malloc(ctypes.c_size_t(size))
        lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
        low, high = next(line.split()[0].split("-") for line in lines if "[heap]" in line)
        libc.free(ctypes.c_void_p(block))
    return int(low, 16) <= block < int(high, 16)
"""


def test_import_changes_nothing_in_the_process() -> None:
    code = (
        f"{MAPPINGS}{KEEPS_LARGE_BLOCKS}"
        "import sys, logging, mlx.core\n"
        "before = mappings('libmlx')\n"
        "import spark_mlx, spark_mlx.tts, spark_mlx.codec\n"
        "assert 'spark_mlx.backends.cpu._native' not in sys.modules\n"
        "files = {file for _, _, file in mappings()}\n"
        "assert not [f for f in files if '_native' in f or 'scipy_openblas32' in f], files\n"
        "assert before == mappings('libmlx')\n"
        "assert keeps_large_blocks()\n"
        "print('untouched')"
    )
    assert run(code).stdout.strip() == "untouched"


@needs_extension
def test_start_restores_the_protection_of_what_it_patches() -> None:
    code = (
        f"{MAPPINGS}{KEEPS_LARGE_BLOCKS}"
        "import mlx.core as mx\n"
        "square = mx.ones((9, 9))\n"
        "mx.eval(square @ square)\n"
        "before = mappings('libmlx')\n"
        "from spark_mlx.backends.cpu import native\n"
        "native.start()\n"
        "assert before == mappings('libmlx'), before ^ mappings('libmlx')\n"
        "assert not [m for m in mappings() if 'w' in m[1] and 'x' in m[1]]\n"
        "assert not keeps_large_blocks()\n"
        "calls = native.layers().calls()\n"
        "mx.eval(square @ square)\n"
        "print(native.layers().calls() - calls, native.remedy)"
    )
    done = run(code)
    assert done.stdout.strip() == "1 None"
    assert done.stderr == ""


@needs_extension
def test_start_patches_a_table_that_the_loader_made_read_only() -> None:
    code = (
        f"{MAPPINGS}"
        "import mlx.core as mx\n"
        "square = mx.ones((9, 9))\n"
        "mx.eval(square @ square)\n"
        "import ctypes\n"
        "from spark_mlx.backends.cpu import native, _native\n"
        "native._open_openblas(_native)\n"
        "def protect(mode):\n"
        "    for begin, size in tables:\n"
        "        at, length = ctypes.c_void_p(begin), ctypes.c_size_t(size)\n"
        "        assert ctypes.CDLL(None).mprotect(at, length, mode) == 0\n"
        "places = [place.split('-') for place, mode, _ in mappings('libmlx') if 'w' in mode]\n"
        "tables = [(int(a, 16), int(b, 16) - int(a, 16)) for a, b in places]\n"
        "protect(1)\n"
        "before = mappings('libmlx')\n"
        "changed = _native.redirect()\n"
        "same = before == mappings('libmlx')\n"
        "protect(3)\n"
        "print(changed, same)"
    )
    assert run(code).stdout.strip() == "3 True"


@needs_extension
def test_only_the_initialisation_is_exported() -> None:
    layers = native.layers()
    assert layers is not None and layers.__file__ is not None
    names = subprocess.run(
        ["nm", "-D", "--defined-only", layers.__file__], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert [line.split()[-1] for line in names if line] == ["PyInit__native"]


@needs_extension
def test_start_may_be_called_by_many_threads_and_again() -> None:
    code = (
        "import threading\n"
        "from spark_mlx.backends.cpu import native\n"
        "opened = []\n"
        "once = native._start\n"
        "native._start = lambda: (opened.append(1), once())\n"
        "threads = [threading.Thread(target=native.start) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "native.start()\n"
        "print(len(opened), native.layers() is not None)"
    )
    assert run(code).stdout.strip() == "1 True"


def test_the_environment_keeps_the_process_as_it_is() -> None:
    code = (
        f"{MAPPINGS}"
        "import mlx.core\n"
        "before = mappings('libmlx')\n"
        "from spark_mlx.backends.cpu import native\n"
        "native.start()\n"
        "assert not mappings('_native') and not mappings('scipy_openblas32')\n"
        "print(before == mappings('libmlx'), native.layers(), native.status)"
    )
    done = run(code, SPARK_MLX_BACKEND="mlx")
    assert done.stdout.strip() == "True None MLX's own (slow)"
    assert done.stderr == ""


# What cannot be had is said once, in one line.


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A module that has not been started; what a test starts is undone."""
    for name in ("_started", "_extension", "status", "remedy"):
        monkeypatch.setattr(native, name, None)
    monkeypatch.delenv("SPARK_MLX_BACKEND", raising=False)
    return monkeypatch


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_a_failed_build_is_said_with_its_reason(
    fresh: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    reason = tmp_path / "build_failure.txt"
    reason.write_text("Python.h is missing\n")
    fresh.setattr(native, "BUILD_FAILURE", reason)
    fresh.setitem(sys.modules, "spark_mlx.backends.cpu._native", None)
    native.start()
    native.start()
    (line,) = warnings(caplog)
    assert "no native code (Python.h is missing)" in line and "\n" not in line
    assert native.layers() is None
    assert native.remedy is not None and native.remedy in line


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Builds the extension into a folder."""
    folders = ("--build-lib", str(folder), "--build-temp", str(folder / "objects"))
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", *folders],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_build_without_a_compiler_says_why_and_goes_on(tmp_path: Path) -> None:
    done = build(tmp_path, CC="no-such-compiler", SPARK_MLX_REQUIRE_NATIVE="")
    assert done.returncode == 0
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("spark-mlx:"))
    (stored,) = tmp_path.rglob("build_failure.txt")
    reason = stored.read_text().strip()
    assert "no-such-compiler" in reason and "\n" not in reason
    assert line.endswith(reason)


def test_a_build_that_must_succeed_fails(tmp_path: Path) -> None:
    done = build(tmp_path, CC="no-such-compiler", SPARK_MLX_REQUIRE_NATIVE="1")
    assert done.returncode != 0


def test_a_package_without_native_code_speaks_slowly_and_says_so(tmp_path: Path) -> None:
    """The command, in a copy of the package as a failed build leaves it."""
    package = tmp_path / "spark_mlx"
    shutil.copytree(ROOT / "spark_mlx", package, ignore=shutil.ignore_patterns("*.so", "csrc"))
    for part in ("convert", "voices"):
        shutil.copytree(ROOT / part, package / part)
    (package / "backends/cpu/build_failure.txt").write_text("gcc is missing\n")
    done = subprocess.run(
        [sys.executable, "-m", "spark_mlx", "doctor"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    (device,) = (line for line in done.stdout.splitlines() if "device:" in line)
    assert device.startswith("!!") and "no native code (gcc is missing)" in device
    (numbers,) = (line for line in done.stdout.splitlines() if "numbers:" in line)
    assert numbers.startswith("ok")


@needs_extension
def test_a_missing_openblas_is_said() -> None:
    code = (
        "from spark_mlx.backends.cpu import native\n"
        "native._packaged_openblas = lambda: '/nowhere/libopenblas.so'\n"
        "native.ctypes.util.find_library = lambda name: None\n"
        "native.start()\n"
        "print(native.layers(), native.remedy is not None)"
    )
    done = run(code)
    assert done.stdout.strip() == "None True"
    (line,) = done.stderr.splitlines()
    assert "scipy-openblas32" in line


@needs_extension
def test_an_mlx_that_cannot_be_patched_is_said(
    fresh: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fresh.setattr(native, "_redirected", lambda extension: False)
    native.start()
    (line,) = warnings(caplog)
    assert "does not call a BLAS by its name" in line
    assert native.layers() is not None  # the codec's layers need no patch


def test_nothing_is_started_by_two_at_once(fresh: pytest.MonkeyPatch) -> None:
    inside: list[int] = []
    fresh.setattr(native, "_start", lambda: inside.append(threading.get_ident()))
    threads = [threading.Thread(target=native.start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) == 1
