"""Fast products and layers for a plain CPU under Linux, where MLX brings none of its own.

MLX's Linux wheel links the reference BLAS. The C extension in this folder answers in its place and
hands products to OpenBLAS (the `scipy-openblas32` package). It also computes the layers of the
codec that MLX leaves to one thread or to a scalar loop, and those of the language model in one go.
It is best loaded before MLX looks its BLAS up, so `import spark_mlx` does that first of all; where
MLX came first, its addresses are changed. On macOS none of this exists or is needed.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

log = logging.getLogger(__name__)

# How products are computed, for `doctor`; set by `start`.
status = "MLX's own"
remedy: str | None = None
_extension: ModuleType | None = None


def start() -> None:
    """Loads the extension and OpenBLAS, or notes what is missing and how to mend it."""
    global status, remedy, _extension
    if sys.platform != "linux":
        return
    if os.environ.get("SPARK_MLX_NATIVE") == "0":
        status, remedy = "MLX's own (slow)", "SPARK_MLX_NATIVE=0 switched the fast ones off"
        return
    late = "mlx.core" in sys.modules
    library = _openblas()
    # Once it is imported, MLX finds the extension, so it must have something to hand products to.
    _extension = None if library is None else _import_globally()
    if _extension is not None and library is not None:
        _extension.open_blas(*library, usable_cores())
        status = f"OpenBLAS and {_extension.kernel()} kernels on {_extension.threads()} threads"
    elif system := ctypes.util.find_library("openblas") or ctypes.util.find_library("mkl_rt"):
        ctypes.CDLL(system, mode=ctypes.RTLD_GLOBAL)
        status = f"{system}, without native kernels"
        remedy = "reinstall spark-mlx where there is a C compiler to make the codec faster"
    else:
        status = "MLX's own (slow)"
        remedy = "reinstall spark-mlx where there is a C compiler, or apt install libopenblas0"
    if late and not _reached():
        status = "MLX's own (slow)"
        remedy = "mlx was imported before spark_mlx; import spark_mlx first"
    if remedy is not None:
        log.warning("matrix products are computed by %s: %s", status, remedy)


def layers() -> ModuleType | None:
    """The extension's codec layers, or None where there are none."""
    return _extension


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """What this thread computes within, it computes on one core, which loops of others leave it."""
    if _extension is None:
        yield
        return
    _extension.aside(True)
    try:
        yield
    finally:
        _extension.aside(False)


def _import_globally() -> ModuleType | None:
    """Imports the extension so that its BLAS names are found by libraries loaded after it."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_NOW)
    try:
        return importlib.import_module("spark_mlx.backends.cpu._native")
    except ImportError:
        return None
    finally:
        sys.setdlopenflags(flags)


def _openblas() -> tuple[str, str] | None:
    """An OpenBLAS library that can be loaded, and what stands before its names."""
    packaged = _packaged()
    if packaged is not None and _loads(packaged):
        return packaged, "scipy_"
    system = ctypes.util.find_library("openblas")
    return (system, "") if system is not None and _loads(system) else None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError as error:
        log.info("cannot load %s: %s", library, error)
        return False
    return True


def _packaged() -> str | None:
    """The library of the scipy-openblas32 package; found without running the package."""
    spec = importlib.util.find_spec("scipy_openblas32")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("lib/libscipy_openblas*.so"):
            return str(path)
    return None


def usable_cores() -> int:
    """The cores this process may use: its affinity, and what its container is granted."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def _reached() -> bool:
    """Makes an MLX that was imported first call our products; one of them tells whether it does."""
    if _extension is None:
        return False
    import mlx.core as mx

    _extension.redirect()
    before = _extension.calls()
    square = mx.ones((4, 4))
    mx.eval(mx.matmul(square, square, stream=mx.cpu))
    return bool(_extension.calls() > before)
