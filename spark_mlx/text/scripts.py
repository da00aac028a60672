"""Writing systems: which letters of a text a model that speaks some languages can read.

str, language codes → the share of foreign letters, by script. Knows nothing of words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

# By the first word of its letters' Unicode names; languages not named here write Latin letters.
SCRIPTS = {
    "zh": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL", "CJK"),
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "el": ("GREEK",),
    "ar": ("ARABIC",),
    "fa": ("ARABIC",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "th": ("THAI",),
}
LANGUAGES = {
    "en": "English",
    "zh": "Chinese",
    "ja": "Japanese",
    "ko": "Korean",
    "ru": "Russian",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
}
# A character of these is a syllable; a syllable of others has some three letters.
_DENSE = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")
# Latin letters, and signs that count as letters but are read in any text: ª µ º ℃ Ω.
_LATIN = re.compile(
    r"[^\W\d_\u0250-\uffff\U00010000-\U0010ffff]|[\u1e00-\u1eff\u2100-\u214f\u03a9\u03c0]"
)
_LETTER = re.compile(r"[^\W\d_]")


def foreign_share(text: str, languages: Sequence[str]) -> tuple[float, str]:
    """Measure how much of a text is in scripts that none of the languages is written in.

    Returns:
        A share of its syllables, and the most frequent of those scripts, such as "Cyrillic".
    """
    if text.isascii():
        return 0.0, ""
    known = {script for code in languages for script in SCRIPTS.get(code, ("LATIN",))}
    found: Counter[str] = Counter()
    latin = len(_LATIN.findall(text))
    for letter in _LETTER.findall(_LATIN.sub("", text)):
        found[unicodedata.name(letter, "unknown").split()[0].split("-")[0]] += 1
    found["LATIN"] += latin
    weights = {script: n * (3 if script in _DENSE else 1) for script, n in found.items()}
    foreign = {script: n for script, n in weights.items() if script not in known and n}
    if not foreign:
        return 0.0, ""
    name = max(foreign, key=foreign.__getitem__)
    shown = {"CJK": "Chinese", "LATIN": "Latin"}.get(name, name.capitalize())
    return sum(foreign.values()) / sum(weights.values()), shown


def language_names(languages: Sequence[str]) -> str:
    """Name languages by their codes: "English and Chinese"."""
    return " and ".join(LANGUAGES.get(code, code) for code in languages)
