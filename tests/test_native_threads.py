"""The pool of the native extension: loops of many threads at once, reserved cores, and forks.

`make sanitize` runs these tests with every access checked for data races.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from conftest import ROOT
from spark_mlx.backends.cpu import native

pytestmark = pytest.mark.skipif(native.layers() is None, reason="the native extension is not there")

Floats = npt.NDArray[np.float32]


def extension() -> Any:
    layers = native.layers()
    assert layers is not None
    return layers


def normal(*shape: int) -> Floats:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def test_loops_of_many_threads_at_once_give_what_one_gives() -> None:
    """Loops that start while another runs, some on reserved cores, each with its own arrays."""
    x, alpha, weight, bias = normal(3000, 32), abs(normal(32)), normal(16, 3, 32), normal(16)
    sizes = (1, 3000, 32, 3, 1, 1, 1, 1, 3000, 16)
    matrix = extension().pack(normal(500, 32), None, None, 500, 32, 32)

    def snake(y: Floats) -> None:
        extension().snake(x, alpha, y[: x.size], 32)

    def gelu(y: Floats) -> None:
        extension().gelu(x, y[: x.size])

    def softmax(y: Floats) -> None:
        y[: x.size] = x.ravel()
        extension().softmax(y[: x.size], 32, 0)

    def conv(y: Floats) -> None:
        extension().conv(x, weight, bias, y[: 3000 * 16], sizes)

    def multiply(y: Floats) -> None:
        extension().times(matrix, x, y[: 3000 * 500], 3000)

    def computed(function: Callable[[Floats], None]) -> Floats:
        y = np.zeros(3000 * 500, np.float32)
        function(y)
        return y

    functions = (snake, gelu, softmax, conv, multiply)
    expected = {function: computed(function) for function in functions}
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(10):
            function = functions[(number + turn) % len(functions)]
            alone = native.reserve_core() if turn % 3 == 0 else contextlib.nullcontext()
            with alone:
                if not np.array_equal(computed(function), expected[function]):
                    wrong.append(function.__name__)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "tests",
        env=os.environ,
    ).stdout


FORK = """
import os, sys, threading, time
import numpy as np
from spark_mlx.backends.cpu import native

native.start()
extension = native.layers()
extension.open_blas("", "", 4)  # more threads than loops need on any machine
alpha = np.ones(64, np.float32)
inputs = [np.full((20_000, 64), value, np.float32) for value in (1, 2)]
shared = np.zeros_like(inputs[0])
stop = False

def loops():
    while not stop:
        for x in inputs:
            extension.snake(x, alpha, shared, 64)

def child():
    '''Loops of the child are right, and no loop of the parent goes on in it.'''
    before, own = shared.copy(), np.zeros_like(shared)
    for x in inputs * 5:
        extension.snake(x, alpha, own, 64)
        expected = x + np.sin(x) ** 2
        if abs(own - expected).max() > 1e-5:
            return 1
    time.sleep(0.01)
    return 0 if np.array_equal(before, shared) else 2

thread = threading.Thread(target=loops)
thread.start()
results = set()
for turn in range(TURNS):
    with native.reserve_core() if turn % 2 else open(os.devnull):
        pid = os.fork()
        if pid == 0:
            os._exit(child())
    deadline = time.monotonic() + 20
    while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.001)
    if done[0] == 0:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        results.add("hangs")
    else:
        results.add(os.waitstatus_to_exitcode(done[1]))
stop = True
thread.join(20)
print(results, thread.is_alive())
"""


def test_a_fork_in_the_middle_of_loops_leaves_both_sides_whole() -> None:
    assert run(FORK.replace("TURNS", "20")).strip() == "{0} False"
