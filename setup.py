"""What pyproject.toml cannot say: a C extension, on Linux, where there is a compiler."""

import sys

from setuptools import Extension, setup

NATIVE = "spark_mlx/backends/cpu/csrc"

extension = Extension(
    "spark_mlx.backends.cpu._native",
    sources=[
        f"{NATIVE}/{name}.c"
        for name in (
            "module",
            "blas",
            "decode",
            "decode_draw",
            "decode_kernel",
            "decode_matrix",
            "decode_python",
            "gradient",
            "patch_blas",
            "pool",
            "product",
            "sound",
        )
    ],
    depends=[
        f"{NATIVE}/{name}.h"
        for name in (
            "blas",
            "common",
            "curves",
            "decode",
            "decode_draw",
            "decode_kernel",
            "decode_lanes",
            "decode_matrix",
            "decode_python",
            "gradient",
            "patch_blas",
            "pool",
            "product",
            "sound",
            "tile",
        )
    ],
    extra_compile_args=["-O3", "-std=gnu11", "-fvisibility=hidden", "-Wno-psabi"],
    libraries=["dl", "pthread"],
    # Without a compiler everything works through MLX alone, only slower.
    optional=True,
)

setup(ext_modules=[extension] if sys.platform == "linux" else [])
