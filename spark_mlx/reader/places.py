"""Where someone stopped in each document, in a file of JSON.

A document is known by its path and by its contents, so that the place is found again after the
file was moved, and, by the words that stood there, after it was edited.
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
MOST = 1000  # documents; the one not read for the longest time is forgotten first
_WORDS = 80  # characters kept from after a place, and as many from before it
_FEWEST_WORDS = 12  # fewer are found anywhere


class Found(NamedTuple):
    """A place that was kept; `exact` unless the words that stood there are gone."""

    place: int
    exact: bool


class Places:
    """The places that are kept in one file; the one of the user by default."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or paths.state() / "places.json"

    def find(self, document: Document) -> Found | None:
        """Where someone stopped; None if that was at the end, or if it was never read."""
        entries = self._read()
        for known in (
            lambda e: e["path"] == document.path and e["fingerprint"] == document.fingerprint,
            lambda e: e["path"] == document.path != "",
            lambda e: e["fingerprint"] == document.fingerprint,
        ):
            entry = next(filter(known, entries), None)
            if entry is not None:
                return _find(document.text, entry)
        return None

    def keep(self, document: Document, place: int) -> None:
        """Writes down a place; the end of the document means that it has been read.

        Raises:
            OSError: the file cannot be written.
        """
        text = document.text
        entry = {
            "path": document.path,
            "fingerprint": document.fingerprint,
            "place": place,
            "length": len(text),
            "before": text[max(0, place - _WORDS) : place],
            "after": text[place : place + _WORDS],
            "time": int(time.time()),
        }
        # Read again: another reader may have written in the meantime.
        others = [e for e in self._read() if not _same(e, document)]
        data = {"format": FORMAT, "documents": [entry, *others][:MOST]}
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(data, ensure_ascii=False, indent=1)
        paths.write_whole(self._file, text.encode("utf-8", "replace"))

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
            log.warning("%s cannot be read (%s); places are kept anew", self._file, error)
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


def _find(text: str, entry: dict[str, Any]) -> Found | None:
    """The kept place in a text that may have changed."""
    old, length, after, before = (entry[key] for key in ("place", "length", "after", "before"))
    if old >= length:
        return None
    if after and text.startswith(after, old):
        return Found(old, True)
    # What was put in stands before the place or behind it.
    expected = (old, old + len(text) - length)
    for words in (after, after[: _WORDS // 2], after[: _WORDS // 4]):
        place = _nearest(text, words, expected)
        if place is not None:
            return Found(place, True)
    for words in (before, before[-_WORDS // 2 :]):
        place = _nearest(text, words, (old - len(words), expected[1] - len(words)))
        if place is not None:
            return Found(min(place + len(words), len(text) - 1), True)
    return Found(min(old * len(text) // max(1, length), len(text) - 1), False)


def _nearest(text: str, words: str, expected: tuple[int, int]) -> int | None:
    """Where some words stand that is nearest to one of two places."""
    if len(words.strip()) < _FEWEST_WORDS:
        return None
    best: tuple[int, int] | None = None
    at = text.find(words)
    while at >= 0:
        distance = min(abs(at - place) for place in expected)
        best = min(best, (distance, at)) if best else (distance, at)
        at = text.find(words, at + 1)
    return best[1] if best else None
