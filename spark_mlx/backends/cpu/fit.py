"""The base of the layers that take the place of plain ones."""

from __future__ import annotations

from typing import TypeVar

import mlx.nn as nn

F = TypeVar("F", bound="FromPlain")


class FromPlain(nn.Module):
    """To be inherited from beside the plain layer."""

    @classmethod
    def from_plain(cls: type[F], plain: nn.Module) -> F:
        """A layer with the parameters and settings of the plain one."""
        fitted = cls.__new__(cls)
        fitted.__dict__.update(vars(plain))
        dict.update(fitted, plain)
        return fitted
