"""What the program runs on, as far as speed depends on it, and the memory it has taken."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import resource
import sys

import mlx.core as mx

from spark_mlx.backends.cpu import native
from spark_mlx.version import __version__

PACKAGES = ("mlx", "numpy", "tokenizers")


@dataclasses.dataclass(frozen=True)
class Machine:
    """
    Attributes:
        system: the operating system and its version.
        processor: the device's own name, as far as it tells.
        cores: how many this process may use.
        device: where MLX computes: "CPU", "Metal GPU" or "CUDA GPU".
        products: how matrix products are computed on the CPU.
        packages: name → version.
    """

    system: str
    processor: str
    cores: int
    device: str
    products: str
    packages: dict[str, str]


def machine() -> Machine:
    native.start()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return Machine(
        system=platform.platform(),
        processor=str(mx.device_info().get("device_name") or platform.processor()),
        cores=native.usable_cores(),
        device=device(),
        products=native.status,
        packages={"spark-mlx": __version__, **versions},
    )


def device() -> str:
    """The device in use."""
    if mx.default_device().type == mx.cpu:
        return "CPU"
    return "Metal GPU" if mx.metal.is_available() else "CUDA GPU"


def peak_memory() -> int:
    """The most bytes that this process has held so far; on a GPU with memory of its own, there."""
    if device() == "CUDA GPU":
        return mx.get_peak_memory()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
