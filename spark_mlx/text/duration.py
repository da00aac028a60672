"""How long a text takes to speak, estimated from its letters: str → seconds, or syllables."""

from __future__ import annotations

import re
import unicodedata

from spark_mlx.text.sentences import CJK

_DENSE = re.compile(f"[{CJK}]")  # a character is a syllable
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_VOWELS = re.compile("[aeiouyæœøıαεηιουωаеёиоуыэюяєії]+")
_LATIN = re.compile("[a-z]")
# Endings in which an e is silent: "made", "makes", "walked"; not "table", "boxes", "wanted".
_SILENT = re.compile("(?:[^aeiouyl]|[aeiouy]l)e$|(?:[^aeiouyscgxzhl]|[aeiouy]l)es$|[^aeiouytd]ed$")


def expected_seconds(text: str) -> float:
    """Estimate roughly how many seconds a text takes to speak.

    Letters pass at 14 a second, Chinese characters, kana and Hangul at 4.5, and a digit takes
    0.4 s, since it may be a word of its own.
    """
    digits = sum(c.isnumeric() and not c.isalpha() for c in text)
    letters = "".join(filter(str.isalpha, text))
    dense = len(_DENSE.findall(letters))
    return (len(letters) - dense) / 14 + dense / 4.5 + digits * 0.4


def syllables(text: str) -> int:
    """Count the syllables of a text, rather too few than too many.

    A Chinese character, kana, Hangul syllable or digit is one; a word has one for each group of
    vowels but a silent e at its end; a Latin word without vowels is spelled ("PM", "hmm"); scripts
    that leave vowels out have one for three letters.
    """
    dense = len(_DENSE.findall(text))
    digits = sum(c.isnumeric() and not c.isalpha() for c in text)
    return dense + digits + sum(map(_word_syllables, _WORD.findall(_DENSE.sub(" ", text))))


def _word_syllables(word: str) -> int:
    letters = unicodedata.normalize("NFD", word.lower())
    count = len(_VOWELS.findall(letters))
    if not count:
        return len(word) if _LATIN.match(letters) else max(1, len(word) // 3)
    return max(1, count - 1) if _SILENT.search(letters) else count
