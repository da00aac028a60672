"""How a thread that uses MLX ends."""

from __future__ import annotations

import mlx.core as mx


def leave_mlx() -> None:
    """Ends what MLX runs for the thread that calls, which ends next.

    Left to MLX, that would end at some time after the thread, when the process may be ending too:
    "terminate called without an active exception".
    """
    mx.synchronize()
    # Before 0.31.2 streams belong to no thread, and nothing is to be cleared.
    clear = getattr(mx, "clear_streams", None)
    if clear is not None:
        clear()
