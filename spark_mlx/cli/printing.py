"""Print answers, notes and errors: text from files cannot move the cursor or break the output."""

from __future__ import annotations

import re
import sys

# Control characters but tab and line feed, and halves of characters, which no encoding takes.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Replace control characters by their code points, such as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def answer(text: object) -> None:
    """Print a line or several to stdout."""
    encoding = sys.stdout.encoding or "utf-8"
    print(visible(str(text)).encode(encoding, "replace").decode(encoding))


def note(text: object) -> None:
    """Print one line to stderr, after the command's name."""
    line = " ".join(visible(str(text)).splitlines())
    print(f"spark-mlx: {line}", file=sys.stderr)
