"""Fast products and codec layers for a plain CPU under Linux, where MLX brings none of its own.

MLX's Linux wheel links the reference BLAS. The C extension in this folder answers in its place and
hands products to OpenBLAS (the `scipy-openblas32` package), and it computes the layers of the codec
that MLX leaves to one thread or to a scalar loop. It has to be loaded before MLX looks its BLAS up,
so `import spark_mlx` does that first of all. On macOS none of this exists or is needed.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import logging
import os
import sys
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
    if sys.platform != "linux" or os.environ.get("SPARK_MLX_NATIVE") == "0":
        if sys.platform == "linux":
            status, remedy = "MLX's own (slow)", "SPARK_MLX_NATIVE=0 switched the fast one off"
        return
    late = "mlx.core" in sys.modules
    extension = _import_globally()
    library = _packaged_openblas()
    if extension is not None and library is not None:
        extension.open_blas(str(library), "scipy_", _usable_cores())
        _extension = extension
        status = f"OpenBLAS on {extension.threads()} threads, with native codec layers"
    elif system := _system_blas():
        ctypes.CDLL(system, mode=ctypes.RTLD_GLOBAL)
        status = f"{system}, without native codec layers"
        remedy = "reinstall spark-mlx where there is a C compiler to make the codec faster"
    else:
        status = "MLX's own (slow)"
        remedy = (
            "install OpenBLAS (apt install libopenblas0), or reinstall spark-mlx where there is a "
            "C compiler"
        )
    if late:
        _check_that_mlx_uses_it()
    if remedy is not None:
        log.warning("matrix products run on %s: %s", status, remedy)


def layers() -> ModuleType | None:
    """The extension's codec layers, or None where there are none."""
    return _extension


def _import_globally() -> ModuleType | None:
    """Imports the extension so that its BLAS names are found by libraries loaded after it."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_NOW)
    try:
        from spark_mlx.native import _native
    except ImportError:
        return None
    finally:
        sys.setdlopenflags(flags)
    module: ModuleType = _native
    return module


def _packaged_openblas() -> Path | None:
    """The library of the scipy-openblas32 package; found without running the package."""
    spec = importlib.util.find_spec("scipy_openblas32")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("lib/libscipy_openblas*.so"):
            return path
    return None


def _system_blas() -> str | None:
    """A system library that carries the plain names."""
    return ctypes.util.find_library("openblas") or ctypes.util.find_library("mkl_rt")


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0))


def _check_that_mlx_uses_it() -> None:
    """MLX was imported first and may have found its BLAS already: one product tells."""
    global status, remedy
    if _extension is None:
        return
    import mlx.core as mx

    before = _extension.calls()
    square = mx.ones((4, 4))
    mx.eval(mx.matmul(square, square, stream=mx.cpu))
    if _extension.calls() == before:
        status = "MLX's own (slow)"
        remedy = "mlx was imported before spark_mlx; import spark_mlx first"
