"""The rules for words and signs: addresses, abbreviations, Roman numerals, emoji, symbols."""

from __future__ import annotations

import re

from spark_mlx.text.normalization.reader import ENGLISH, SENTENCE_END_TOO, Reader, Rule, rule
from spark_mlx.text.sentences import OPENING_WORD

# A full stop that was part of an abbreviation and ended the sentence as well.
_ENDS = r"(?P<end>\.(?=\s*$|\s+[A-Z“\"]|\n))"
_OPENING = OPENING_WORD.pattern
_TITLES = {
    "Mr": "Mister",
    "Mrs": "Missus",
    "Dr": "Doctor",
    "Prof": "Professor",
    "Gen": "General",
    "Capt": "Captain",
    "Sgt": "Sergeant",
    "Lt": "Lieutenant",
    "Col": "Colonel",
    "Gov": "Governor",
    "Sen": "Senator",
    "Rev": "Reverend",
    "Mt": "Mount",
    "Ms": "Ms",
}
_BEFORE_NUMBERS = {
    "No": "number",
    "Nos": "numbers",
    "Fig": "figure",
    "fig": "figure",
    "Figs": "figures",
    "p": "page",
    "pp": "pages",
    "vol": "volume",
    "Vol": "volume",
    "ch": "chapter",
    "Ch": "chapter",
    "c": "circa",
}
_ANYWHERE = {
    "e.g.": "for example",
    "eg.": "for example",
    "E.g.": "For example",
    "i.e.": "that is",
    "I.e.": "That is",
    "ie.": "that is",
    "vs.": "versus",
    "vs": "versus",
    "approx.": "approximately",
    "w/o": "without",
    "a.k.a.": "also known as",
    "&c.": "et cetera",
}
_AT_THE_END = {
    "etc": "et cetera",
    "Jr": "Junior",
    "Sr": "Senior",
    "Inc": "Incorporated",
    "Ltd": "Limited",
    "Corp": "Corporation",
    "Co": "Company",
    "Ave": "Avenue",
    "Rd": "Road",
}
_DIVISIONS = "Chapter|Part|Volume|Act|Scene|Book|Section|World War|Appendix|Article|Phase|Type"
_RULERS = (
    "Henry|Louis|Charles|George|Edward|Elizabeth|William|James|Richard|John Paul|Philip|Napoleon|"
    "Benedict|Pius|Catherine|Nicholas|Alexander|Frederick|Mary|Peter"
)
_ROMAN = r"(?P<n>(?=[IVX])X{0,3}(?:IX|IV|V?I{0,3}))(?![\w'’])"
_TLD = (
    "com|org|net|edu|gov|info|dev|app|io|co|uk|de|cn|ai|eu|fr|jp|us|me|tv|txt|pdf|md|py|json|csv|"
    "wav|mp3|html|zip|docx|jpg|png"
)
_HOST = rf"(?:[A-Za-z0-9-]{{1,60}}\.){{1,5}}(?:{_TLD})(?![A-Za-z0-9_-]|\.[A-Za-z0-9])"
_PATH = r"(?:[/?#][A-Za-z0-9._~%&=+/?#:-]{0,500}(?<![.?:,]))?"
_EMOJI = (
    "[\U0001f000-\U0001f0ff\U0001f110-\U0001faff\u2600-\u2775\u2794-\u27bf\u2b50\u2b55\u2b1b\u2b1c\ufe0f\u20e3\u2122\u00ae"
    "\U000e0020-\U000e007f]"
)


def _emoji(m: re.Match[str], reader: Reader) -> str:
    before, after = m.string[: m.start()][-1:], m.string[m.end() :][:1]
    return " " if before.isalnum() and after.isalnum() and reader is ENGLISH else ""


def _address(m: re.Match[str], reader: Reader) -> str:
    return reader.address(m["address"])


def _title(m: re.Match[str], reader: Reader) -> str:
    return _TITLES[m["word"]]


def _before_number(m: re.Match[str], reader: Reader) -> str:
    if reader is not ENGLISH and m["word"] == "No":
        return reader.NUMBER
    return f"{_BEFORE_NUMBERS[m['word']]} "


def _anywhere(m: re.Match[str], reader: Reader) -> str:
    return _ANYWHERE[m[0]]


def _initials(m: re.Match[str], reader: Reader) -> str:
    """U.S. → U S, Ph.D. → PhD, a.m. → AM; the full stop stays where it ends the sentence too."""
    parts = m["letters"].split(".")[:-1]
    if [part.lower() for part in parts] in (["a", "m"], ["p", "m"]):
        said = "".join(parts).upper()
    elif max(map(len, parts)) > 1:
        said = "".join(parts)
    else:
        said = " ".join(parts).upper()
    return said if m["end"] is None else f"{said}."


def _initial(m: re.Match[str], reader: Reader) -> str:
    return m["letter"]


def _at_the_end(m: re.Match[str], reader: Reader) -> str:
    return _AT_THE_END[m["word"]] + (m["end"] or "")


def _street(m: re.Match[str], reader: Reader) -> str:
    return {"St": "Street", "Dr": "Drive"}[m["word"]] + (m["end"] or "")


def _saint(m: re.Match[str], reader: Reader) -> str:
    return "Saint"


def _roman(written: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10}[c] for c in written]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)


def _division(m: re.Match[str], reader: Reader) -> str:
    return m["kept"] + ENGLISH.number(str(_roman(m["n"])))


def _ruler(m: re.Match[str], reader: Reader) -> str:
    return f"{m['kept']}the {ENGLISH.ordinal(_roman(m['n']))}"


def _hashtag(m: re.Match[str], reader: Reader) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", m["word"])
    return reader.HASHTAG + words


def _symbol(m: re.Match[str], reader: Reader) -> str:
    symbol = reader.SYMBOLS["-" if m["sign"] in "-−" else m["sign"]]
    gap = reader.GAP
    before, after = m.string[: m.start()][-1:], m.string[m.end() :][:1]
    head = gap if m["before"] or before.isalnum() else ""
    return head + symbol + (gap if m["after"] or after.isalnum() else "")


def _words(table: dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, table), key=len, reverse=True))


def _plus_plus(m: re.Match[str], reader: Reader) -> str:
    return "C sharp" if m[0][1] == "#" else "C plus plus"


def _not_a_fraction(m: re.Match[str], reader: Reader) -> str:
    return "nine eleven" if m[0] == "9/11" else "twenty-four seven"


def _at(m: re.Match[str], reader: Reader) -> str:
    return "at "


def _with(m: re.Match[str], reader: Reader) -> str:
    return "with "


def _hash(m: re.Match[str], reader: Reader) -> str:
    return reader.NUMBER


WORD_RULES: list[Rule] = [
    rule(rf"(?m)^(?:\u200d?{_EMOJI})+ ?| ?(?:\u200d?{_EMOJI})+", _emoji),
    rule(
        r"(?<![A-Za-z0-9_.+-])(?:mailto:)?(?P<address>[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,60}\.){1,5}"
        r"[A-Za-z]{2,10})(?![A-Za-z0-9_-])",
        _address,
    ),
    rule(
        r"(?i:https?://|\bwww\.)(?i:www\.)?"
        rf"(?P<address>[A-Za-z0-9-]{{1,60}}(?:\.[A-Za-z0-9-]{{1,60}}){{0,5}}(?::\d{{1,5}})?{_PATH})",
        _address,
    ),
    rule(rf"(?<![A-Za-z0-9.@/-])(?P<address>{_HOST}{_PATH})", _address),
    rule(r"(?<!\w)w/ ?(?=[a-z])(?!o\b)", _with),
    rule(r"\bC(?:\+\+|#)(?!\w)", _plus_plus),
    rule(r"(?<![\d/])(?:24/7|9/11)(?![\d/])", _not_a_fraction),
    rule(
        rf"(?<=[a-z] )(?P<word>St|Dr)\b"
        rf"(?:{_ENDS}(?={_OPENING}|\s*$)|\.(?=\s+[a-z])|\.?(?=,))",
        _street,
    ),
    rule(
        rf"\b(?P<word>{_words(_TITLES)})(?:(?<!Gen)(?<!Col)(?<!Gov)(?<!Sen)(?<!Lt)(?<!Rev)|(?=\.))"
        r"\.?(?= [A-Z])",
        _title,
    ),
    rule(r"\bSt\.?(?= [A-Z])", _saint),
    rule(rf"\b(?P<word>{_words(_BEFORE_NUMBERS)})\. ?(?=\d)", _before_number),
    rule(rf"(?<![\w.&])(?:{_words(_ANYWHERE)})(?!\w)", _anywhere),
    rule(
        r"(?<![\w.@/-])(?<!\d )(?P<letters>[A-Za-z][a-z]?\.(?:[A-Za-z][a-z]?\.)+)(?![\w.@/])"
        rf"(?=(?P<end>{SENTENCE_END_TOO}))?",
        _initials,
    ),
    rule(rf"(?<![\w.])(?P<letter>[A-Z])\.(?=\s?[A-Z])(?!{_OPENING})", _initial),
    rule(rf"\b(?P<word>{_words(_AT_THE_END)})(?:{_ENDS}|\.)", _at_the_end),
    rule(rf"\b(?P<kept>(?:{_DIVISIONS}) )(?!I [a-z]){_ROMAN}", _division),
    rule(rf"\b(?P<kept>(?:{_RULERS}) )(?!I\b){_ROMAN}", _ruler),
    rule(rf"\b(?P<kept>(?:King|Queen|Pope|Emperor|Tsar) (?:{_RULERS}) )(?=I\b){_ROMAN}", _ruler),
    rule(r"(?<![\w&])#(?=\d{1,6}\b)", _hash),
    rule(r"(?<![\w&])#(?P<word>[^\W\d]\w{0,80})", _hashtag),
    rule(r"(?<![\w@])@(?=[A-Za-z_])", _at),
    rule(
        r"(?P<before> ?)(?!\+\d{1,3}(?:[ -]?\(?\d{1,5}\)?){2,5})"
        r"(?P<sign>[+=×÷±≈&])(?P<after> ?)(?=[\w$£€¥\ue000-])",
        _symbol,
    ),
]
