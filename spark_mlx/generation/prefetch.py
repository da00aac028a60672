"""Iterate in a background thread, prefetching without bound.

So ids are generated while earlier ones are decoded: the one is bound by memory and the other by
arithmetic, and on two cores both at once take less time than one after the other. One thread
serves the whole process and advances all open iterators in turn, for MLX keeps what it makes for a
thread as long as the process lives.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)
Context = contextlib.AbstractContextManager[None]


class Prefetched(Protocol[Item]):
    """An open iterator, used once:

    with prefetched as items:
        for item in items:
            with items.sharing():
                ...
    """

    def __enter__(self) -> Prefetched[Item]: ...

    def __exit__(self, *error: object) -> None: ...

    def __iter__(self) -> Iterator[Item]: ...

    def sharing(self) -> Context:
        """Compute beside the making of items."""
        ...

    def holding(self) -> Context:
        """Compute with no item being made meanwhile, but the one that was begun."""
        ...


class InTurn(Generic[T]):
    """Make each item when it is asked for, in the thread that asks."""

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make

    def __enter__(self) -> InTurn[T]:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Iterator[T]:
        return self._make()

    def sharing(self) -> Context:
        return contextlib.nullcontext()

    def holding(self) -> Context:
        return contextlib.nullcontext()


class Prefetch(Generic[T]):
    """Make items in the background thread.

    Leaving the context ends it after the item that is being made. An error is raised where items
    are taken, after those from before.

    Args:
        make: called in the background thread; arrays that it is given have to be evaluated.
        reserve_core: what `sharing` enters, to compute on a core that the thread leaves free.
    """

    def __init__(
        self,
        make: Callable[[], Iterator[T]],
        reserve_core: Callable[[], Context] = contextlib.nullcontext,
    ) -> None:
        self._make = make
        self._reserve_core = reserve_core
        self._ready: SimpleQueue[_Item[T] | _End] = SimpleQueue()
        self._iterator: Iterator[T] | None = None
        self.abandoned = False

    def __enter__(self) -> Prefetch[T]:
        _thread.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.abandoned = True  # seen before the next item, which is not waited for

    def __iter__(self) -> Iterator[T]:
        while isinstance(ready := self._ready.get(), _Item):
            yield ready.item
        if ready.error is not None:
            raise ready.error

    def sharing(self) -> Context:
        return self._reserve_core()

    def holding(self) -> Context:
        return _thread.holding()

    def advance(self) -> bool:
        """Make one item, in the background thread. Returns whether there may be another."""
        error: BaseException | None = None
        if not self.abandoned:
            try:
                if self._iterator is None:
                    self._iterator = self._make()
                self._ready.put(_Item(next(self._iterator)))
                return True
            except StopIteration:
                pass
            except BaseException as caught:  # not lost: raised where items are taken
                error = caught
        self._iterator = None
        self._ready.put(_End(error))
        return False


class _Thread:
    """The one background thread of a process, begun when it is first needed."""

    def __init__(self) -> None:
        # Entered again by one thread when it collects garbage within: an abandoned iterator.
        self._changed = threading.Condition(threading.RLock())
        self._open: deque[Prefetch[Any]] = deque()
        self._holds = 0
        self._ending = False
        self._thread: threading.Thread | None = None

    def add(self, prefetch: Prefetch[Any]) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="spark-mlx generation", daemon=True
                )
                self._thread.start()
            self._open.append(prefetch)
            self._changed.notify_all()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        with self._changed:
            self._holds += 1
        try:
            yield
        finally:
            with self._changed:
                self._holds -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """End the thread after its item, so that nothing is computed while the process ends."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ending or (self._open and not self._holds))
                if self._ending:
                    return
                prefetch = self._open.popleft()
            if prefetch.advance():
                with self._changed:
                    self._open.append(prefetch)
            del prefetch


_thread = _Thread()


def _begin_anew() -> None:
    """A forked child has none of its parent's threads."""
    global _thread
    _thread = _Thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
atexit.register(lambda: _thread.end())


@dataclasses.dataclass(frozen=True)
class _Item(Generic[T]):
    item: T


@dataclasses.dataclass(frozen=True)
class _End:
    """After the last item: what ended them, if it was an error."""

    error: BaseException | None
