"""What is said when a library of the extra `spark-mlx[read]` is not installed."""

from __future__ import annotations

from spark_mlx.errors import TextError


def missing(what: str, error: ImportError) -> TextError:
    """The error for `what`, which takes a library that is not there."""
    return TextError(f"{what} takes {error.name}; pip install 'spark-mlx[read]'")
