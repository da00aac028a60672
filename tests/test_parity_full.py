"""The official shape gives what the official code gives, on each backend.

Minutes and 10 GB, and plain MLX takes most of them: run with -m full.
"""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from conftest import BACKENDS, REFERENCE, Arrays, random_checkpoint
from parity import CLIPS, TOLERANCES, check_control_prompts, check_ids, differences
from spark_mlx import backends
from spark_mlx.convert import convert
from spark_mlx.tts import SparkTTS, load

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("full")
    convert(random_checkpoint("full", folder / "source"), folder / "model")
    return folder / "model"


@pytest.fixture(scope="module", params=BACKENDS)
def full(request: pytest.FixtureRequest, model: Path) -> SparkTTS:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(backends.VARIABLE, request.param)
        return load(model)


@pytest.fixture(scope="module")
def expected() -> Arrays:
    return load_file(REFERENCE / "full.safetensors")


@pytest.mark.parametrize("clip", CLIPS)
def test_floats(full: SparkTTS, reference: Arrays, expected: Arrays, clip: str) -> None:
    # The clips are the same at both sizes, so their samples are stored with the tiny outputs.
    for name, difference in differences(full, reference, expected, clip):
        print(f"{full.backend.name} {clip} {name}: {difference:.1e}")
        assert difference <= TOLERANCES[name], name


@pytest.mark.parametrize("clip", CLIPS)
def test_ids(full: SparkTTS, reference: Arrays, expected: Arrays, clip: str) -> None:
    check_ids(full, reference, expected, clip)


def test_control_prompts(full: SparkTTS, expected: Arrays) -> None:
    check_control_prompts(full, expected)
