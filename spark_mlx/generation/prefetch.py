"""Threads that use MLX: how two work at once, and how one ends.

MLX ties what it has begun to the thread that began it, so a thread makes all that it needs itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

import mlx.core as mx

from spark_mlx.backends.cpu import native

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


class Ahead(Generic[T]):
    """What `make()` yields, made in another thread, however far ahead of whoever takes it.

    So ids are written while earlier ones are decoded: the one is bound by memory and the other by
    arithmetic, and on two cores both at once take less time than one after the other. Used once:

        with Ahead(make) as items:
            for item in items:
                with items.sharing():
                    ...

    It ends the thread after the item that is being made. An error of the thread is raised where
    items are taken, after those from before.

    Args:
        make: called in the thread, with all of MLX that it needs begun there; arrays that it is
            given have to be evaluated.
    """

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make
        self._ready: SimpleQueue[_Item[T] | _End] = SimpleQueue()
        self._enough = False
        self._go = threading.Event()
        self._go.set()
        self._thread = threading.Thread(target=self._run, name="spark-mlx ids", daemon=True)

    def __enter__(self) -> Ahead[T]:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._enough = True
        self._go.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while isinstance(ready := self._ready.get(), _Item):
            yield ready.item
        if ready.error is not None:
            raise ready.error

    def sharing(self) -> contextlib.AbstractContextManager[None]:
        """What is computed within has a core of its own, the thread has the others."""
        return native.reserve_core()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """What is computed within has all cores: the thread waits."""
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._make():
                self._ready.put(_Item(item))
                self._go.wait()
                if self._enough:
                    break
        except BaseException as caught:
            error = caught
        finally:
            # First this, so that nobody who knows of the end finds MLX running still.
            leave_mlx()
            self._ready.put(_End(error))


class InTurn(Generic[T]):
    """What `make()` yields, each item made when it is asked for, where `Ahead` cannot be used."""

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make

    def __enter__(self) -> InTurn[T]:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Iterator[T]:
        return self._make()

    def sharing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def holding(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@dataclasses.dataclass(frozen=True)
class _Item(Generic[T]):
    item: T


@dataclasses.dataclass(frozen=True)
class _End:
    """After the last item: what ended them, if it was an error."""

    error: BaseException | None
