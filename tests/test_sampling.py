"""The sampler draws from the distribution that the official one draws from."""

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import REFERENCE
from spark_mlx.errors import ConfigError
from spark_mlx.generation.sampling import Sampling, keep_likeliest, sample

STORED = load_file(REFERENCE / "sampler.safetensors")
CASES = sorted(name for name in STORED if ".probs." in name)


def setting(name: str) -> Sampling:
    _, _, rest = name.partition(".probs.T")
    temperature, _, rest = rest.partition(".k")
    top_k, _, top_p = rest.partition(".p")
    return Sampling(float(temperature), int(top_k), float(top_p))


def probabilities(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """What `sample` draws from, in the order of the logits."""
    kept, indices = keep_likeliest(mx.array(logits), sampling)
    probs = np.zeros_like(logits)
    np.put_along_axis(probs, np.array(indices), np.array(mx.softmax(kept, axis=-1)), axis=-1)
    return probs


@pytest.mark.parametrize("name", CASES)
def test_distribution(name: str) -> None:
    logits = STORED[f"{name[0]}.logits"]
    assert np.abs(probabilities(logits, setting(name)) - STORED[name]).max() < 2e-6


def test_draws_follow_the_distribution() -> None:
    name = "0.probs.T0.8.k50.p0.95"
    logits = mx.array(STORED["0.logits"][:1])
    keys = mx.random.split(mx.random.key(3), 4000)
    drawn = sample(mx.repeat(logits, 4000, axis=0), setting(name), keys)
    counts = np.bincount(np.array(drawn), minlength=logits.shape[1])
    assert np.abs(counts / 4000 - STORED[name][0]).max() < 0.03
    assert not counts[STORED[name][0] == 0].any()


def test_same_key_same_draw() -> None:
    logits = mx.array(STORED["2.logits"])
    draws = [
        sample(logits, Sampling(), mx.random.split(mx.random.key(seed), 3)).tolist()
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = STORED["1.logits"]
    drawn = sample(mx.array(logits), Sampling(temperature=0), mx.zeros((3, 2)))
    assert drawn.tolist() == logits.argmax(axis=-1).tolist()


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"temperature|top-k|top-p"):
        Sampling(**wrong)


def test_a_rows_draw_depends_on_its_own_key_alone() -> None:
    logits = mx.array(STORED["2.logits"])
    keys = mx.random.split(mx.random.key(7), 3)
    together = sample(logits, Sampling(), keys).tolist()
    alone = [sample(logits[i : i + 1], Sampling(), keys[i : i + 1]).item() for i in range(3)]
    assert together == alone
