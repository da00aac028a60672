"""The machine and software that speed and numbers depend on, and the memory in use.

`doctor --json` and `bench --json` print all of it, so that a report from another machine suffices.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import resource
import sys

import mlx.core as mx

from spark_mlx.backends.cpu import native
from spark_mlx.version import __version__

# Those that are not installed are left out: one backend of MLX is enough.
PACKAGES = (
    "mlx",
    "mlx-metal",
    "mlx-cpu",
    "mlx-cuda-12",
    "mlx-cuda-13",
    "numpy",
    "scipy-openblas32",
    "tokenizers",
    "safetensors",
    "soundfile",
    "soxr",
    "huggingface_hub",
)
# Linux backends: each brings the same files, so the one installed last works or neither does.
BACKENDS = ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13")
# Variables that change speed or numbers.
SETTINGS = ("SPARK_MLX_", "MLX_", "OPENBLAS_", "OMP_NUM_THREADS")


@dataclasses.dataclass(frozen=True)
class Machine:
    """
    Attributes:
        system: the operating system and its version.
        architecture: of this Python: "arm64", "x86_64"; under Rosetta the second one.
        python: its version.
        processor: the device's own name, as far as it tells.
        cores: how many this process may use.
        memory: of the machine, in bytes.
        device: where MLX computes: "CPU", "Metal GPU" or "CUDA GPU".
        device_info: MLX's own description of it.
        products: how matrix products are computed on the CPU.
        packages: name → version.
        settings: environment variables that change speed or numbers.
    """

    system: str
    architecture: str
    python: str
    processor: str
    cores: int
    memory: int
    device: str
    device_info: dict[str, str | int]
    products: str
    packages: dict[str, str]
    settings: dict[str, str]


def machine() -> Machine:
    native.start()
    info = mx.device_info()
    return Machine(
        system=_system(),
        architecture=platform.machine(),
        python=platform.python_version(),
        processor=str(info.get("device_name") or platform.processor()),
        cores=native.usable_cores(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        device=device(),
        device_info={key: info[key] for key in sorted(info)},
        products=native.status,
        packages={"spark-mlx": __version__, **_versions()},
        settings={k: v for k, v in sorted(os.environ.items()) if k.startswith(SETTINGS)},
    )


def device() -> str:
    """The device in use."""
    if mx.default_device().type == mx.cpu:
        return "CPU"
    return "Metal GPU" if mx.metal.is_available() else "CUDA GPU"


def backends() -> list[str]:
    """The installed backends of MLX on Linux; more than one is a broken installation."""
    return [name for name in BACKENDS if name in _versions()]


def peak_memory() -> int:
    """The most bytes that this process has held so far; on a GPU with memory of its own, there."""
    if device() == "CUDA GPU":
        return mx.get_peak_memory()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def mlx_memory() -> dict[str, int]:
    """MLX's own counters, in bytes: arrays alive, freed buffers kept, and the most alive so far."""
    return {
        "active": mx.get_active_memory(),
        "cache": mx.get_cache_memory(),
        "peak": mx.get_peak_memory(),
    }


def _system() -> str:
    version = platform.mac_ver()[0]
    return f"macOS {version}, {platform.platform()}" if version else platform.platform()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
