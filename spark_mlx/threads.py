"""Threads that use MLX: how two work at once, and how one ends.

MLX ties what it has begun to the thread that began it, so a thread makes all that it needs itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

import mlx.core as mx

T = TypeVar("T")


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


class _End:
    """After the last item: what ended them, if it was an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Given(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item


def overlapped(make: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What `make()` yields, made in another thread, however far ahead of whoever takes it.

    So ids are written while earlier ones are decoded: the one is bound by memory and the other by
    arithmetic, and on two cores both at once take less time than one after the other.

    Closed early, it ends the thread after the item that is being made. An error of the thread is
    raised here, after the items from before.

    Args:
        make: called in the thread, with all of MLX that it needs begun there; arrays that it is
            given have to be evaluated.
    """
    ready: SimpleQueue[_Given[T] | _End] = SimpleQueue()
    enough = threading.Event()

    def work() -> None:
        error = None
        try:
            for item in make():
                ready.put(_Given(item))
                if enough.is_set():
                    break
        except BaseException as caught:
            error = caught
        finally:
            # First this, so that nobody who knows of the end finds MLX running still.
            leave_mlx()
            ready.put(_End(error))

    thread = threading.Thread(target=work, name="spark-mlx ids", daemon=True)
    thread.start()
    try:
        while isinstance(given := ready.get(), _Given):
            yield given.item
        if given.error is not None:
            raise given.error
    finally:
        enough.set()
        thread.join()
