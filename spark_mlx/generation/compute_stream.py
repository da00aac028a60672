"""Run MLX work of several threads on one stream, one thread at a time.

MLX binds what it has not yet evaluated to the stream of the thread that began it, and keeps a
thread of its own for every stream, for as long as the process lives. On a stream that all threads
share, work begun in one may be continued in another, and threads may come and go.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TypeVar

import mlx.core as mx

from spark_mlx.errors import SparkError

T = TypeVar("T")


class _Release:
    """Clears, when its thread ends, what MLX keeps for the thread.

    MLX would do so too, but after Python has let go of the thread: too late where the process is
    ending ("terminate called without an active exception").
    """

    def __del__(self) -> None:
        mx.clear_streams()


# Python drops the attributes of a thread in that thread, before `join` returns.
_thread = threading.local()


# The process that first computed.
_process: int | None = None


def _check_process() -> None:
    if os.getpid() != _process:
        raise SparkError(
            "a model was loaded before this process was forked, and MLX does not survive a fork; "
            "load models in the child alone, or start processes by multiprocessing's 'spawn'"
        )


class ComputeStream:
    """A context manager, which a thread may enter again within itself.

    Args:
        device: where the work is computed.

    Raises:
        SparkError: this process is a fork of one that has computed.
    """

    def __init__(self, device: mx.Device) -> None:
        global _process
        _process = _process or os.getpid()
        _check_process()
        self._lock = threading.RLock()
        self._on_gpu = device.type == mx.gpu
        self._stream = mx.new_thread_unsafe_stream(device)
        self._entered: list[mx.StreamContext] = []

    def __enter__(self) -> None:
        _check_process()
        if threading.current_thread() is not threading.main_thread():
            _thread.release = getattr(_thread, "release", None) or _Release()
        self._lock.acquire()
        context = mx.stream(self._stream)
        context.__enter__()
        self._entered.append(context)

    def __exit__(self, *error: object) -> None:
        self._entered.pop().__exit__(None, None, None)
        self._lock.release()

    def clear_cache(self) -> None:
        """Free the buffers that MLX keeps for use again, where it keeps them of every size.

        On a CPU they level off by themselves, and each thread that clears them would leave a
        thread of MLX's behind.
        """
        if self._on_gpu:
            mx.clear_cache()

    def iterate(self, items: Iterator[T]) -> Iterator[T]:
        """Iterate with the stream entered for each step, and free in between."""
        while True:
            with self:
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
