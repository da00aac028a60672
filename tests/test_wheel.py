"""The wheel holds the package whole, and nothing beside it. It is built without the network."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from conftest import ROOT

# Where the files of the package lie in the tree, and where in the wheel.
PARTS = {"spark_mlx": "spark_mlx", "convert": "spark_mlx/convert", "voices": "spark_mlx/voices"}
# What git does not hold. An old build would also find its way into the wheel.
LEFT_OUT = (".*", "build", "dist", "*.egg-info", "__pycache__", "*.so")
# Sources of extensions, and what is compiled from them: only the second belongs into a wheel, and
# only where there was a compiler.
COMPILED = {".c", ".h", ".so"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT))
    quick = folder / "cc"  # a fifth of the time: nothing here depends on the speed of the code
    quick.write_text(f'#!/bin/sh\nexec {os.environ.get("CC", "cc")} "$@" -O0\n')
    quick.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, tree],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "CC": str(quick)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path, file: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(f".dist-info/{file}"))
        return archive.read(name).decode()


def test_nothing_else_at_the_top_level(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"spark_mlx"}


def test_every_file_of_the_package_is_inside(wheel: Path) -> None:
    expected = {
        f"{target}/{path.relative_to(ROOT / part).as_posix()}"
        for part, target in PARTS.items()
        for path in (ROOT / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in COMPILED
    }
    assert {"spark_mlx/py.typed", "spark_mlx/diagnostics/selfcheck.npz"} <= expected
    found = {name for name in names(wheel) if name.startswith("spark_mlx/")}
    assert {name for name in found if not name.endswith(".so")} == expected


def test_the_command_is_an_entry_point(wheel: Path) -> None:
    assert "spark-mlx = spark_mlx.cli:main" in metadata(wheel, "entry_points.txt").splitlines()


@pytest.mark.parametrize(
    ("extras", "linux", "darwin"),
    [
        ((), {"", "cpu"}, {""}),
        (("read",), {"", "cpu"}, {""}),
        (("cuda",), {"", "cuda13"}, {"", "cuda13"}),  # which brings nothing on a Mac
    ],
)
def test_mlx_comes_with_one_backend(
    wheel: Path, extras: tuple[str, ...], linux: set[str], darwin: set[str]
) -> None:
    message = email.message_from_string(metadata(wheel, "METADATA"))
    required = [Requirement(line) for line in message.get_all("Requires-Dist", [])]
    for system, expected in (("linux", linux), ("darwin", darwin)):
        # As pip does: what any of the extras asks for.
        backends = {
            extra
            for one in required
            for chosen in extras or ("",)
            if one.name == "mlx"
            and (
                one.marker is None or one.marker.evaluate({"sys_platform": system, "extra": chosen})
            )
            for extra in one.extras or ("",)
        }
        assert backends == expected


def test_cuda_has_all_that_reading_takes(wheel: Path) -> None:
    message = email.message_from_string(metadata(wheel, "METADATA"))
    required = [Requirement(line) for line in message.get_all("Requires-Dist", [])]

    def names(extra: str) -> set[str]:
        return {one.name for one in required if f"extra == '{extra}'" in str(one).replace('"', "'")}

    assert len(names("read")) == 5
    assert names("read") < names("cuda")


def test_it_runs_from_the_wheel(wheel: Path, model: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "SPARK_MLX_MODEL": str(model)}

    def python(*args: str) -> str:
        return subprocess.run(
            [sys.executable, *args],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        ).stdout

    assert python("-c", "import spark_mlx; print(spark_mlx.__file__, end='')") == str(
        unpacked / "spark_mlx" / "__init__.py"
    )
    # The status may be 1, where there is no sound.
    findings = json.loads(python("-m", "spark_mlx", "doctor", "--json"))
    assert next(f for f in findings if f["topic"] == "numbers")["ok"]
