"""How a frozen dataclass is read from JSON or YAML: every key known, every key present."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from spark_mlx.errors import ConfigError

C = TypeVar("C", bound="Config")


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of the configurations that stand beside their modules."""

    @classmethod
    def from_dict(cls: type[C], data: Mapping[str, Any], where: str) -> C:
        """Builds the configuration from `data`; `where` names the file and section in errors.

        Lists become tuples, so that a configuration can be hashed.

        Raises:
            ConfigError: `data` is no mapping, or a key is unknown or missing.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where} should hold a table of settings, not {data!r}")
        fields = dataclasses.fields(cls)
        unknown = sorted(set(data) - {field.name for field in fields})
        if unknown:
            raise ConfigError(f"{where} has a setting that nothing reads: {', '.join(unknown)}")
        missing = [
            field.name
            for field in fields
            if field.name not in data and field.default is dataclasses.MISSING
        ]
        if missing:
            raise ConfigError(f"{where} lacks a setting: {', '.join(missing)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values, ready for JSON."""
        return dataclasses.asdict(self)
