"""What the other tests rely on: limits of time that hold when asked for, and short paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

LATE = """
def test_late(at_most):
    at_most(2.0, 1.0)


def test_in_time(at_most):
    at_most(1.0, 2.0)


def test_without():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").symlink_to(ROOT / "tests" / "conftest.py")
    (tmp_path / "test_late.py").write_text(LATE)
    return tmp_path


def outcomes(suite: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", *args, suite],
        capture_output=True,
        text=True,
        cwd=suite,
        check=False,
    )
    return done.stdout.strip().splitlines()[-1]


def test_limits_of_time_hold_when_they_are_asked_for(suite: Path) -> None:
    assert "1 failed, 1 passed, 1 deselected" in outcomes(suite, "-m", "timing")


def test_limits_of_time_hold_nowhere_else(suite: Path) -> None:
    assert "3 passed" in outcomes(suite)


def test_sockets_have_short_paths(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp().resolve() / ("n" * 31) / "home" / "daemon.sock"
    assert len(str(folder)) < 104
