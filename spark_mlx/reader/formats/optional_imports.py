"""The error for a library of the extra `spark-mlx[read]` that is not installed."""

from __future__ import annotations

from spark_mlx.errors import TextError


def missing_library(feature: str, error: ImportError) -> TextError:
    """Name the feature, the library it needs, and how to install it."""
    return TextError(f"{feature} takes {error.name}; pip install 'spark-mlx[read]'")
