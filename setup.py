"""Build the C extension on Linux, where there is a compiler; pyproject.toml holds all the rest.

Without a compiler the package works through MLX alone, only slower. The reason of a failed build is
printed and stored for `spark-mlx doctor`, in the file that native.py reads.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("spark_mlx/backends/cpu/csrc")
FAILURE = "build_failure.txt"


class OptionalBuild(build_ext):
    """Build the extension, or say in one line why not."""

    def build_extension(self, ext: Extension) -> None:
        failure = Path(self.get_ext_fullpath(ext.name)).with_name(FAILURE)
        failure.unlink(missing_ok=True)
        try:
            super().build_extension(ext)
        except Exception as error:
            reason = _reason(error)
            print(f"spark-mlx: no native code, so speech will be slow: {reason}", file=sys.stderr)
            if os.environ.get("SPARK_MLX_REQUIRE_NATIVE"):  # an extension is optional otherwise
                raise SystemExit(1) from error
            failure.parent.mkdir(parents=True, exist_ok=True)
            failure.write_text(reason + "\n", encoding="utf-8")


def _reason(error: Exception) -> str:
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        return f"{headers} has no Python.h (install your system's python3-dev)"
    return " ".join(str(error).split()) or type(error).__name__


extension = Extension(
    "spark_mlx.backends.cpu._native",
    sources=sorted(str(path) for path in SOURCES.glob("*.c")),
    depends=sorted(str(path) for path in SOURCES.glob("*.h")),
    extra_compile_args=["-O3", "-std=gnu11", "-fvisibility=hidden", "-Wno-psabi"],
    libraries=["dl", "pthread"],
    optional=True,
)

setup(
    ext_modules=[extension] if sys.platform == "linux" else [],
    cmdclass={"build_ext": OptionalBuild},
)
