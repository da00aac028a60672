"""What the tests share: the random checkpoint, made, converted and loaded once a run."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from spark_mlx import backends
from spark_mlx.backends import Backend
from spark_mlx.convert import convert
from spark_mlx.tts import SparkTTS, load

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "tests" / "reference"
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "benchmarks")]

from random_checkpoint import random_checkpoint  # noqa: E402

# A worker of pytest-xdist has these, and a terminal that a test opens would believe them.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

# A run in the background has SIGINT ignored, and so have the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests of layers load no model, and mean the layers that a loaded model computes with.
backends.choose()

# What a model can be fitted to on this system; plain MLX is what a Mac runs.
BACKENDS = ("cpu", "mlx") if sys.platform == "linux" else ("mlx",)
# For tests that take the fixture `tts`: once for each backend.
on_each_backend = pytest.mark.parametrize("tts", BACKENDS, indirect=True)

# The two sentences of the reference prompts.
TEXTS = {"en": "Hello from a small port: 3 tests, no noise!", "zh": "你好，world。"}
TRANSCRIPT = "a transcript."

Arrays = dict[str, np.ndarray]
AtMost = Callable[[float, float], None]  # seconds, limit


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that measure time as `timing`."""
    for item in items:
        if "at_most" in getattr(item, "fixturenames", ()):
            item.add_marker("timing")


@pytest.fixture
def at_most(request: pytest.FixtureRequest) -> AtMost:
    """Assert that `seconds` stay below `limit`; only in `make test-timing`.

    Other runs share their machine with each other, where wall-clock time says nothing.
    """
    measuring = request.config.getoption("markexpr") == "timing"

    def check(seconds: float, limit: float) -> None:
        assert not measuring or seconds < limit, f"{seconds:.3f} s, not below {limit:g} s"

    return check


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees or touches the user's models and voices."""
    monkeypatch.setenv("SPARK_MLX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SPARK_MLX_MODEL", raising=False)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random checkpoint in the published layout."""
    return random_checkpoint("tiny", tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint as a model folder."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    convert(checkpoint, folder)
    return folder


@pytest.fixture(scope="session")
def loaded(model: Path) -> Callable[[str], SparkTTS]:
    """The tiny model fitted to a backend, loaded once a run for each."""

    @functools.cache
    def load_for(backend: str) -> SparkTTS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(backends.VARIABLE, backend)
            return load(model)

    return load_for


@pytest.fixture(scope="session")
def tts(request: pytest.FixtureRequest, loaded: Callable[[str], SparkTTS]) -> SparkTTS:
    """The tiny model, fitted to the backend of this system or to the one asked for."""
    return loaded(getattr(request, "param", "auto"))


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(backends.VARIABLE, request.param)
        return backends.choose()


@pytest.fixture(scope="session")
def reference() -> Arrays:
    """What the official code computed with the tiny checkpoint."""
    return load_file(REFERENCE / "tiny.safetensors")
