"""What the daemon and its clients say to each other: one JSON object a line, in UTF-8.

A client sends requests. Each gets one answer, in order: `{"ok": true, …}`, or `{"ok": false,
"error": …, "kind": …}`. Between the answers come events, lines with an "event". docs/reader.md
shows them all.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from spark_mlx import errors
from spark_mlx.errors import DaemonError, SparkError
from spark_mlx.speech_queue.events import Event

LONGEST_LINE = 1 << 20  # bytes, of a request


@dataclass(frozen=True)
class Field:
    """What a request may say under a name."""

    kind: tuple[type, ...]
    needed: bool = False
    choices: tuple[str, ...] = ()


_TEXT = Field((str,), needed=True)
_NAME = Field((str, type(None)))
_NUMBER = Field((int, float, type(None)))
_FLAG = Field((bool,))

REQUESTS: dict[str, dict[str, Field]] = {
    "say": {
        "text": _TEXT,
        "mode": Field((str,), choices=("queue", "now")),
        "voice": _NAME,
        "rate": _NUMBER,
        "start": Field((int,)),
        "follow": _FLAG,
    },
    "synthesize": {"text": _TEXT, "voice": _NAME},
    "stop": {"utterance": Field((int, type(None)))},
    "cancel": {},
    "pause": {},
    "resume": {},
    "skip": {"by": Field((int,), needed=True)},
    "set": {"rate": _NUMBER, "volume": _NUMBER},
    "watch": {},
    "status": {},
    "voices": {},
    "shutdown": {},
}
_EVERYWHERE = {"do": _TEXT, "id": Field((str, int, type(None))), "watch": _FLAG}
_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Request:
    """A request whose fields are all of the right type.

    Attributes:
        do: what is asked for.
        id: comes back in the answer.
        fields: the others that were given.
    """

    do: str
    id: str | int | None
    fields: dict[str, Any]


def parse(line: bytes) -> Request:
    """A line → a request.

    Raises:
        DaemonError: it is none.
    """
    try:
        found = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DaemonError(f"the request is not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise DaemonError("the request is no JSON; send one object a line") from error
    if not isinstance(found, dict):
        raise DaemonError("the request is no JSON object; send one a line")
    do = found.get("do")
    if not isinstance(do, str) or do not in REQUESTS:
        known = ", ".join(REQUESTS)
        raise DaemonError(f"there is no request {_shown(do)}; 'do' is one of {known}")
    known_fields = REQUESTS[do] | _EVERYWHERE
    for name, value in found.items():
        if name not in known_fields:
            names = ", ".join(REQUESTS[do]) or "nothing else"
            raise DaemonError(f"{do} takes no {_shown(name)}; it takes {names}")
        _check(do, name, known_fields[name], value)
    for name, field in REQUESTS[do].items():
        if field.needed and name not in found:
            raise DaemonError(f"{do} needs {name!r}")
    return Request(do, found.pop("id", None), {k: v for k, v in found.items() if k != "do"})


def encode(message: dict[str, Any]) -> bytes:
    """A line. Only ASCII, so that also halves of characters survive, as JSON allows them."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def refusal(error: SparkError, id_: str | int | None = None) -> dict[str, Any]:
    """The answer to a request that cannot be done."""
    return {"ok": False, "error": str(error), "kind": type(error).__name__, "id": id_}


def error_of(answer: dict[str, Any]) -> SparkError:
    """The error that an answer carries, of the class it had in the daemon."""
    kind = getattr(errors, str(answer.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, SparkError)):
        kind = DaemonError
    return kind(str(answer.get("error")))


def event_line(event: Event) -> bytes:
    fields = {name: getattr(event, name) for name in ("utterance", "sentence", "text", "span")}
    more = {"time": round(event.time, 3), "message": event.message}
    return encode({"event": event.kind, **fields, **more})


def event_of(message: dict[str, Any]) -> Event:
    """What `event_line` was made from."""
    start, end = message["span"]
    return Event(
        str(message["event"]),
        int(message["utterance"]),
        int(message["sentence"]),
        str(message["text"]),
        (int(start), int(end)),
        float(message["time"]),
        str(message["message"]),
    )


def _check(do: str, name: str, field: Field, value: object) -> None:
    # For JSON true is no number, though for Python it is.
    right = isinstance(value, field.kind) and (not isinstance(value, bool) or bool in field.kind)
    if right and isinstance(value, float):
        right = math.isfinite(value)
    if not right:
        kinds = " or ".join(_NAMES[kind] for kind in field.kind if kind in _NAMES)
        raise DaemonError(f"{name!r} of {do} is {kinds}, not {_shown(value)}")
    if field.choices and value not in field.choices:
        raise DaemonError(f"{name!r} of {do} is {' or '.join(field.choices)}, not {_shown(value)}")


def _shown(value: object, most: int = 40) -> str:
    """A value in an error: short, and of one line."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
