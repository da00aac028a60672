"""Draws what a terminal shows: `tmux capture-pane -e -p | python tests/screenshot.py out.svg`.

Only what the reading view uses is known: bold, reverse video, and the plain look.
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path

from spark_mlx.reader.columns import width

COLUMN, ROW, MARGIN, SIZE = 9.0, 20, 16, 15
INK, PAPER = "#1d1f21", "#fbfaf5"
_LOOK = re.compile(r"\x1b\[([\d;]*)m")


def draw(screen: str, columns: int, title: str) -> str:
    """A screen with its escape sequences → SVG."""
    rows = screen.split("\n")
    while rows and not rows[-1]:
        rows.pop()
    shapes: list[str] = []
    bold = reverse = False
    for y, row in enumerate(rows):
        at = x = 0
        for look in [*_LOOK.finditer(row), None]:
            text = row[at : look.start() if look else None]
            shapes.append(_text(text, x, y, bold, reverse))
            x += width(text)
            if look is not None:
                at = look.end()
                for code in (look[1] or "0").split(";"):
                    bold = code == "1" or (bold and code != "0")
                    reverse = code == "7" or (reverse and code not in ("0", "27"))
    size = f'{columns * COLUMN + 2 * MARGIN:.0f}" height="{len(rows) * ROW + 2 * MARGIN}'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" role="img" '
        f'aria-label="{escape(title)}" font-size="{SIZE}" '
        "font-family=\"'DejaVu Sans Mono', Menlo, Consolas, 'Noto Sans Mono CJK SC', monospace\">\n"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n'
        + "\n".join(filter(None, shapes))
        + "\n</svg>\n"
    )


def _text(text: str, x: int, y: int, bold: bool, reverse: bool) -> str:
    left, top = MARGIN + x * COLUMN, MARGIN + y * ROW
    area = f'x="{left:g}" y="{top}" width="{width(text) * COLUMN:g}" height="{ROW}"'
    back = f'<rect {area} fill="{INK}"/>' if reverse and text else ""
    if not text.strip():
        return back
    # Each character at its column, whatever the font.
    places = " ".join(f"{left + width(text[:i]) * COLUMN:g}" for i in range(len(text)))
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'{back}<text x="{places}" y="{top + SIZE}" xml:space="preserve"{weight} '
        f'fill="{PAPER if reverse else INK}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(sys.stdin.read(), 72, sys.argv[2]), encoding="utf-8")
