"""Load the C extension and OpenBLAS on a plain Linux CPU, where MLX brings none of its own.

MLX's Linux wheel links the reference BLAS. `start` loads the extension of this folder, which hands
matrix products to OpenBLAS (the `scipy-openblas32` package), and makes MLX call it. The extension
also computes the layers of the codec that MLX leaves to one thread or to a scalar loop, and those
of the language model. Importing this module changes nothing in the process. On macOS none of this
exists or is needed.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

log = logging.getLogger(__name__)

# How products are computed, for `doctor`; set by `start`.
status = "MLX's own"
remedy: str | None = None

SLOW = "MLX's own (slow)"
# setup.py writes the reason of a failed compilation here.
BUILD_FAILURE = Path(__file__).with_name("build_failure.txt")

_extension: ModuleType | None = None
_started = False
_starting = threading.Lock()


def start() -> None:
    """Load the extension and OpenBLAS and make MLX call them, once in a process.

    Where something is missing, set `remedy` and log it as one warning. `SPARK_MLX_BACKEND=mlx`
    leaves the process as it is.
    """
    global _started
    with _starting:
        if _started or sys.platform != "linux":
            return
        _started = True
        if os.environ.get("SPARK_MLX_BACKEND") == "mlx":
            _set_status(SLOW, "SPARK_MLX_BACKEND=mlx switched the fast ones off", logging.INFO)
        else:
            _start()


def layers() -> ModuleType | None:
    """The extension, or None where there is none or before `start`."""
    return _extension


@contextlib.contextmanager
def reserve_core() -> Iterator[None]:
    """Run single-threaded on a core that parallel loops of other threads leave free."""
    if _extension is None:
        yield
        return
    _extension.reserve_core(True)
    try:
        yield
    finally:
        _extension.reserve_core(False)


def usable_cores() -> int:
    """Count the cores this process may use: its affinity, cut by its container's quota."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def _start() -> None:
    global _extension
    try:
        extension = importlib.import_module("spark_mlx.backends.cpu._native")
    except ImportError as error:
        _set_status(SLOW, _without_extension(error))
        return
    library = _open_openblas(extension)
    if library is None:
        _set_status(SLOW, "pip install scipy-openblas32, or apt install libopenblas0")
        return
    extension.limit_heaps()
    _extension = extension
    if _redirected(extension):
        threads = extension.threads()
        _set_status(f"OpenBLAS and {extension.kernel()} kernels on {threads} threads", None)
    else:
        _set_status(SLOW, "this build of mlx does not call a BLAS by its name; report its version")


def _set_status(products: str, mend: str | None, level: int = logging.WARNING) -> None:
    global status, remedy
    status, remedy = products, mend
    if mend is not None:
        log.log(level, "matrix products are computed by %s: %s", products, mend)


def _without_extension(error: ImportError) -> str:
    """Explain in one line why there is no extension, and what to do."""
    try:
        reason = BUILD_FAILURE.read_text(encoding="utf-8").strip()
    except OSError:
        reason = str(error)
    system = ctypes.util.find_library("openblas")
    meanwhile = "" if system is None else f"; until then, LD_PRELOAD={system} is faster"
    return f"there is no native code ({reason}); install a C compiler, then spark-mlx{meanwhile}"


def _open_openblas(extension: ModuleType) -> str | None:
    """Let the extension open the packaged OpenBLAS or the system's; return the one it took."""
    candidates = ((_packaged_openblas(), "scipy_"), (ctypes.util.find_library("openblas"), ""))
    for library, prefix in candidates:
        if library is not None:
            try:
                extension.open_blas(library, prefix, usable_cores())
            except OSError as error:
                log.info("cannot load %s: %s", library, error)
            else:
                return library
    return None


def _packaged_openblas() -> str | None:
    """Find the library of the scipy-openblas32 package without running the package."""
    spec = importlib.util.find_spec("scipy_openblas32")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("lib/libscipy_openblas*.so"):
            return str(path)
    return None


def _redirected(extension: ModuleType) -> bool:
    """Make MLX call the extension's products; multiply two matrices to see whether it does."""
    import mlx.core as mx

    extension.redirect()
    before = extension.calls()
    square = mx.ones((4, 4))
    mx.eval(mx.matmul(square, square, stream=mx.cpu))
    return bool(extension.calls() > before)
