"""How long a text takes to speak, estimated from its letters: str → seconds."""

from __future__ import annotations

import re

from spark_mlx.text.sentences import CJK


def expected_seconds(text: str) -> float:
    """Estimate roughly how many seconds a text takes to speak.

    Letters pass at 14 a second, Chinese characters, kana and Hangul at 4.5, and a digit takes
    0.4 s, since it may be a word of its own.
    """
    digits = sum(c.isnumeric() and not c.isalpha() for c in text)
    letters = "".join(filter(str.isalpha, text))
    dense = len(re.findall(f"[{CJK}]", letters))
    return (len(letters) - dense) / 14 + dense / 4.5 + digits * 0.4
