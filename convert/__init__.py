"""Converts a published checkpoint into a model folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_mlx.convert.converter import convert
    from spark_mlx.convert.report import Report

__all__ = ["Report", "convert"]


def __getattr__(name: str) -> Any:
    """Imports the converter when it is first used: the command line's help needs none of it."""
    if name == "convert":
        from spark_mlx.convert.converter import convert

        return convert
    if name == "Report":
        from spark_mlx.convert.report import Report

        return Report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
