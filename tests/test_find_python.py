"""scripts/find-python.sh chooses a Python that MLX has packages for, or says which to get."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

SCRIPT = ROOT / "scripts" / "find-python.sh"


class Machine:
    """A PATH with made-up programs and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.program("uname", 'test "$1" = -s && echo Linux || echo x86_64')

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def python(self, name: str, version: str, system: str = "Linux x86_64 -") -> None:
        self.program(name, f'echo "{version} {system}"')

    def mac(self, machine: str, silicon: bool) -> None:
        self.program("uname", f'test "$1" = -s && echo Darwin || echo {machine}')
        self.program("sysctl", f"echo {int(silicon)}")

    def find(self, *args: str) -> subprocess.CompletedProcess[str]:
        shell = shutil.which("sh")
        assert shell is not None
        # Pythons outside PATH that the script knows do not count here.
        text = (
            SCRIPT.read_text()
            .replace("/opt/homebrew/", "/nowhere/")
            .replace("/usr/local/", "/nowhere/")
        )
        return subprocess.run(
            [shell, "-c", text, "find-python", *args],
            capture_output=True,
            text=True,
            env={"PATH": str(self.bin)},
            check=False,
        )

    def found(self, *args: str) -> str:
        done = self.find(*args)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip()).name

    def refused(self, *args: str) -> str:
        done = self.find(*args)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("spark-mlx: ")
        return done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_usual_one(machine: Machine) -> None:
    machine.python("python3", "3.11")
    machine.python("python3.14", "3.14")
    assert machine.found() == "python3"


def test_apples_own_is_too_old(machine: Machine) -> None:
    machine.mac("arm64", silicon=True)
    machine.python("python3", "3.9", "Darwin arm64 14.5")
    line = machine.refused()
    assert "python3 is Python 3.9" in line
    assert "brew" in line
    machine.python("python3.12", "3.12", "Darwin arm64 14.5")
    assert machine.found() == "python3.12"


def test_none_at_all(machine: Machine) -> None:
    assert "found none" in machine.refused()


def test_only_the_one_that_was_asked_for(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.python("python3.8", "3.8")
    assert "Python 3.8" in machine.refused("python3.8")


def test_rosetta(machine: Machine) -> None:
    machine.mac("x86_64", silicon=True)
    machine.python("python3", "3.12", "Darwin x86_64 15.1")
    assert "built for Intel (Rosetta)" in machine.refused()


def test_an_intel_mac(machine: Machine) -> None:
    machine.mac("x86_64", silicon=False)
    machine.python("python3", "3.12", "Darwin x86_64 13.6")
    assert "Apple silicon only" in machine.refused()


def test_an_old_macos(machine: Machine) -> None:
    machine.mac("arm64", silicon=True)
    machine.python("python3", "3.12", "Darwin arm64 13.6")
    assert "macOS 13.6" in machine.refused()


def test_the_real_one() -> None:
    found = subprocess.run([SCRIPT], capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found).is_file()
