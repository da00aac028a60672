"""Bytes → text, in whatever encoding they are."""

from __future__ import annotations

import codecs
import re

from spark_mlx.errors import TextError
from spark_mlx.reader.formats.optional_imports import missing_library

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 64 * 1024  # bytes that an encoding is guessed by; more only takes longer
# What is guessed among: encodings of the languages that are spoken, and of their neighbours, so
# that these are not taken for Chinese.
_CANDIDATES = "gb18030 big5 shift_jis euc_jp euc_kr cp1251 koi8_r cp1252".split()
_HIGH = re.compile(rb"[\x80-\xff]+")
_ALONE = 0.7  # the share of such bytes alone among ASCII from which on they are accented letters
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Colours and the like, from output that was meant for a terminal.
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
_MOST_CONTROL = 0.05  # the share of control characters from which on it is no text


def decode(data: bytes, name: str, declared: str | None = None) -> str:
    """The text of a file.

    A byte order mark decides, then UTF-8 if the bytes are valid, then what the file itself
    declares, then a guess by the statistics of languages.

    Raises:
        TextError: it is not text, or charset-normalizer, which guesses, is missing.
    """
    text = _decode(data, name, declared)
    if len(_CONTROL.findall(text)) > _MOST_CONTROL * len(text):
        raise _no_text(name)
    return _ESCAPES.sub("", text)


def _decode(data: bytes, name: str, declared: str | None) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        text = data.decode("utf-8")
        if "\0" not in text:
            return text
    except UnicodeDecodeError as error:
        # A file that was cut off in the middle of a character is UTF-8 all the same.
        if (
            error.start > 0
            and error.end == len(data) > 64
            and error.reason.startswith("unexpected")
        ):
            return data[: error.start].decode("utf-8")
    if wide := _wide(data):
        return data.decode(wide, "replace")
    if declared is not None:
        try:
            return data.decode(declared)
        except (LookupError, UnicodeDecodeError):
            pass
    if b"\0" in data:
        raise _no_text(name)
    return data.decode(_guess(data, name), "replace")


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark, known by the zeros in every other byte of its spaces and signs."""
    even, odd = data[0:_SAMPLE:2], data[1:_SAMPLE:2]
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > 0.05 * len(zeros) and not others.count(0):
            return encoding
    return None


def _guess(data: bytes, name: str) -> str:
    runs = [len(run) for run in _HIGH.findall(data[:_SAMPLE])]
    if runs and runs.count(1) >= _ALONE * len(runs):
        return "cp1252"  # a few letters with accents, curly quotes: too little for statistics
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise missing_library(
            f"{name} is not UTF-8 text, and guessing its encoding", error
        ) from error
    # A whole line at the end, so that no character is cut in two.
    sample = data[: data.rfind(b"\n", 0, _SAMPLE) + 1] if len(data) > _SAMPLE else data
    best = from_bytes(sample or data[:_SAMPLE], cp_isolation=_CANDIDATES).best()
    if best is None:
        raise _no_text(name)
    return best.encoding


def _no_text(name: str) -> TextError:
    return TextError(f"{name} is not a text; read takes text, Markdown, HTML, EPUB and PDF")
