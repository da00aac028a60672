"""Base of the configurations: a frozen dataclass read from JSON or YAML, strict in keys and types.

Sizes that do not fit together are refused in `spark_mlx.checkpoints.config_checks`.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from spark_mlx.errors import ConfigError

C = TypeVar("C", bound="Config")

_MAX_ITEMS = 64  # of a list


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of the configurations that stand beside their modules."""

    @classmethod
    def from_dict(cls: type[C], data: Mapping[str, Any], where: str) -> C:
        """Build the configuration from `data`; `where` names the file and section in errors.

        Lists become tuples, so that a configuration can be hashed.

        Raises:
            ConfigError: `data` is no mapping, a key is unknown or missing, or a value has another
                type than its field.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where} should hold a table of settings, not {shown(data)}")
        fields = dataclasses.fields(cls)
        if unknown := sorted(str(key) for key in set(data) - {field.name for field in fields}):
            raise ConfigError(
                f"{where} has a setting that nothing reads: {', '.join(unknown)[:200]}"
            )
        missing = [
            field.name
            for field in fields
            if field.name not in data and field.default is dataclasses.MISSING
        ]
        if missing:
            raise ConfigError(f"{where} lacks a setting: {', '.join(missing)}")
        hints = typing.get_type_hints(cls)
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        for key, value in values.items():
            if not _has_type(value, hints[key]):
                raise ConfigError(
                    f"{where} sets {key} to {shown(value)}, which is not {_name(hints[key])}"
                )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values, ready for JSON."""
        return dataclasses.asdict(self)


def shown(value: object) -> str:
    """A value for an error message, short whatever it is."""
    return reprlib.repr(value)[:200]


def _has_type(value: object, hint: Any) -> bool:
    """Whether a value read from JSON belongs to a field's type."""
    if isinstance(hint, types.UnionType):
        return any(_has_type(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        (item, _) = typing.get_args(hint)
        fits = isinstance(value, tuple) and 0 < len(value) <= _MAX_ITEMS
        return fits and all(_has_type(entry, item) for entry in typing.cast(Any, value))
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(typing.cast(float, value)) < 1e15 and not math.isnan(value)  # type: ignore[arg-type]
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _name(hint: Any) -> str:
    """A field's type in words."""
    if isinstance(hint, types.UnionType):
        return " or ".join(_name(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list of up to {_MAX_ITEMS} items, each {_name(typing.get_args(hint)[0])}"
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(hint, "a table of settings")
