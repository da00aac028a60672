"""Bookmarks: the position where each document was left, in a file of JSON.

A document is found by its path or by its contents, so a bookmark survives moving the file; the
words around it are kept too, so it survives editing.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

from spark_mlx import paths
from spark_mlx.reader.documents import Document

log = logging.getLogger(__name__)

FORMAT = 1
MAX_DOCUMENTS = 1000  # the one not read for the longest time is forgotten first
_CONTEXT = 80  # characters kept from before a position, and as many from after it
_MIN_CONTEXT = 12  # fewer would match by chance


class Bookmark(NamedTuple):
    """A position that was kept; not `exact` if the words around it are gone from the document."""

    position: int
    exact: bool


class Bookmarks:
    """The bookmarks in one file; by default the user's own."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or paths.state() / "places.json"

    def find(self, document: Document) -> Bookmark | None:
        """The document's bookmark; None if it was read to the end, or never."""
        entries = self._read()
        for matches in (
            lambda e: e["path"] == document.path and e["fingerprint"] == document.fingerprint,
            lambda e: e["path"] == document.path != "",
            lambda e: e["fingerprint"] == document.fingerprint,
        ):
            entry = next(filter(matches, entries), None)
            if entry is not None:
                return _find(document.text, entry)
        return None

    def keep(self, document: Document, position: int) -> None:
        """Write down a position; the end of the document means that it has been read.

        Raises:
            OSError: the file cannot be written.
        """
        text = document.text
        entry = {
            "path": document.path,
            "fingerprint": document.fingerprint,
            "place": position,
            "length": len(text),
            "before": text[max(0, position - _CONTEXT) : position],
            "after": text[position : position + _CONTEXT],
            "time": int(time.time()),
        }
        # Read again: another reader may have written in the meantime.
        others = [e for e in self._read() if not _same(e, document)]
        data = {"format": FORMAT, "documents": [entry, *others][:MAX_DOCUMENTS]}
        paths.make_private(self._file.parent)
        text = json.dumps(data, ensure_ascii=False, indent=1)
        paths.write_whole(self._file, text.encode("utf-8", "replace"), private=True)

    def _read(self) -> list[dict[str, Any]]:
        """The entries, the latest first; none if the file is missing or damaged."""
        try:
            data = json.loads(self._file.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                return []
            return [entry for entry in data["documents"] if _is_entry(entry)]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read (%s); bookmarks begin anew", self._file, error)
            return []


def _is_entry(entry: Any) -> bool:
    texts = ("path", "fingerprint", "before", "after")
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), str) for key in texts)
        and all(isinstance(entry.get(key), int) for key in ("place", "length"))
    )


def _same(entry: dict[str, Any], document: Document) -> bool:
    if document.path:
        return bool(entry["path"] == document.path)
    return bool(entry["path"] == "" and entry["fingerprint"] == document.fingerprint)


def _find(text: str, entry: dict[str, Any]) -> Bookmark | None:
    """Locate an entry in a text that may have changed."""
    old, length, after, before = (entry[key] for key in ("place", "length", "after", "before"))
    if old >= length:
        return None
    if after and text.startswith(after, old):
        return Bookmark(old, True)
    # Text was inserted either after the position or before it.
    expected = (old, old + len(text) - length)
    for words in (after, after[: _CONTEXT // 2], after[: _CONTEXT // 4]):
        position = _nearest(text, words, expected)
        if position is not None:
            return Bookmark(position, True)
    for words in (before, before[-_CONTEXT // 2 :]):
        position = _nearest(text, words, (old - len(words), expected[1] - len(words)))
        if position is not None:
            return Bookmark(min(position + len(words), len(text) - 1), True)
    return Bookmark(min(old * len(text) // max(1, length), len(text) - 1), False)


def _nearest(text: str, words: str, expected: tuple[int, int]) -> int | None:
    """The occurrence of some words that is nearest to one of two positions."""
    if len(words.strip()) < _MIN_CONTEXT:
        return None
    best: tuple[int, int] | None = None
    at = text.find(words)
    while at >= 0:
        distance = min(abs(at - position) for position in expected)
        best = min(best, (distance, at)) if best else (distance, at)
        at = text.find(words, at + 1)
    return best[1] if best else None
