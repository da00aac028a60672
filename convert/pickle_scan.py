"""Scan the opcodes of a pickle before it is loaded: nothing it holds may hang or fill the memory.

    a stream at the beginning of a pickle → the same stream, at its end; or an UnpicklingError

Only opcodes that tables of tensors are made of are let through. The scan follows the unpickler's
stack by kinds of values alone, so that no key of a dictionary is a tuple: tuples that share their
parts a thousand times over take for ever to hash. Memo indices are limited, since the unpickler
makes room up to the largest.

Source: `pickletools` in Python's library, which describes each opcode's use of the stack.
"""

from __future__ import annotations

import pickle
import pickletools
import warnings
from typing import Any, Protocol, cast

MAX_OPCODES = 400_000  # a checkpoint of 1000 tensors has 40,000

_MARK = pickletools.markobject
_SCALARS = frozenset(
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT BINSTRING "
    "SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8".split()
)
_OTHERS = frozenset(
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM "
    "SETITEMS GLOBAL STACK_GLOBAL INST OBJ NEWOBJ REDUCE BUILD PERSID BINPERSID MARK POP POP_MARK "
    "DUP GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE PROTO FRAME STOP "
    "BINBYTES SHORT_BINBYTES LONG4".split()
)
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))


class Stream(Protocol):
    """A binary file, as far as `pickletools` reads it."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


def scan(stream: Stream) -> None:
    """Read one pickle's opcodes.

    Raises:
        pickle.UnpicklingError: an opcode, a memo index, a key or the number of opcodes is refused.
        ValueError, EOFError: the pickle is damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in texts that are refused below
        _scan(stream)


def _scan(stream: Stream) -> None:
    stack: list[str] = []  # "scalar", "mark" or "other"
    memo: dict[int, str] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(Any, stream))):
        name = opcode.name
        if count > MAX_OPCODES:
            raise pickle.UnpicklingError(f"more than {MAX_OPCODES} opcodes")
        if name not in _SCALARS and name not in _OTHERS:
            raise pickle.UnpicklingError(f"the opcode {name}, which no table of tensors needs")
        if name in _PUTS or name == "MEMOIZE":
            index = len(memo) if name == "MEMOIZE" else int(argument or 0)
            if not 0 <= index <= 2 * count + 256:
                raise pickle.UnpicklingError("an impossible index of the memo")
            memo[index] = stack[-1] if stack else "other"
            continue
        taken = _take(stack, opcode)
        _check_keys(name, taken)
        if name in _GETS:
            stack.append(memo.get(int(argument or 0), "other"))
        elif name == "DUP":
            stack += taken * 2
        elif name == "MARK":
            stack.append("mark")
        elif opcode.stack_after:
            stack.append("scalar" if name in _SCALARS else "other")


def _take(stack: list[str], opcode: pickletools.OpcodeInfo) -> list[str]:
    """Pop an opcode's operands; those from the last mark on, without it, if it takes a mark."""
    before = opcode.stack_before
    if _MARK in before:
        if "mark" not in stack:
            raise pickle.UnpicklingError(f"{opcode.name} without a mark")
        taken: list[str] = []
        while (kind := stack.pop()) != "mark":
            taken.append(kind)
        taken.reverse()
        # Operands below the mark, such as the dictionary of SETITEMS.
        for _ in range(before.index(_MARK)):
            if not stack or stack.pop() == "mark":
                raise pickle.UnpicklingError(f"{opcode.name} without its operand")
        return taken
    if len(stack) < len(before) or "mark" in stack[len(stack) - len(before) :]:
        raise pickle.UnpicklingError(f"{opcode.name} without its operands")
    taken = stack[len(stack) - len(before) :]
    del stack[len(stack) - len(before) :]
    return taken


def _check_keys(name: str, taken: list[str]) -> None:
    """Refuse a key of a dictionary that is no text or number."""
    keys = taken[1:2] if name == "SETITEM" else taken[::2] if name in ("SETITEMS", "DICT") else []
    if any(kind != "scalar" for kind in keys):
        raise pickle.UnpicklingError("a dictionary with keys that are no text")
