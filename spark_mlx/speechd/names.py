"""What characters and keys are called, in English and Chinese.

a character, or a key as speech-dispatcher names it → the words that are spoken
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

# Where speech-dispatcher keeps its own names. It often says them itself, as a short text.
LOCALES = Path("/usr/share/speech-dispatcher/locale")

_CHARACTERS = {
    " ": ("space", "空格"),
    "\t": ("tab", "制表符"),
    "\n": ("new line", "换行"),
    "!": ("exclamation mark", "感叹号"),
    '"': ("quote", "引号"),
    "#": ("number sign", "井号"),
    "$": ("dollar", "美元"),
    "%": ("percent", "百分号"),
    "&": ("and", "和号"),
    "'": ("apostrophe", "撇号"),
    "(": ("left paren", "左括号"),
    ")": ("right paren", "右括号"),
    "*": ("star", "星号"),
    "+": ("plus", "加号"),
    ",": ("comma", "逗号"),
    "-": ("dash", "横线"),
    ".": ("dot", "点"),
    "/": ("slash", "斜杠"),
    ":": ("colon", "冒号"),
    ";": ("semicolon", "分号"),
    "<": ("less than", "小于号"),
    "=": ("equals", "等号"),
    ">": ("greater than", "大于号"),
    "?": ("question mark", "问号"),
    "@": ("at", "艾特"),
    "[": ("left bracket", "左方括号"),
    "\\": ("backslash", "反斜杠"),
    "]": ("right bracket", "右方括号"),
    "^": ("caret", "脱字符"),
    "_": ("underscore", "下划线"),
    "`": ("backtick", "反引号"),
    "{": ("left brace", "左花括号"),
    "|": ("bar", "竖线"),
    "}": ("right brace", "右花括号"),
    "~": ("tilde", "波浪号"),
    "\N{NO-BREAK SPACE}": ("no break space", "不换行空格"),
    "…": ("dots", "省略号"),
    "–": ("en dash", "短破折号"),
    "—": ("em dash", "破折号"),
    "‘": ("left tick", "左单引号"),
    "’": ("right tick", "右单引号"),
    "“": ("left quote", "左双引号"),
    "”": ("right quote", "右双引号"),
    "•": ("bullet", "项目符号"),
    "€": ("euro", "欧元"),
    "£": ("pound", "英镑"),
    "¥": ("yen", "元"),
    "°": ("degree", "度"),
    "，": ("comma", "逗号"),
    "。": ("full stop", "句号"),
    "、": ("ideographic comma", "顿号"),
    "？": ("question mark", "问号"),
    "！": ("exclamation mark", "感叹号"),
    "：": ("colon", "冒号"),
    "；": ("semicolon", "分号"),
    "（": ("left paren", "左括号"),
    "）": ("right paren", "右括号"),
    "《": ("left title mark", "左书名号"),
    "》": ("right title mark", "右书名号"),
}
_DIGITS = "零一二三四五六七八九"
_ENGLISH_DIGITS = "zero one two three four five six seven eight nine".split()

# speech-dispatcher's symbolic names, and those that Orca and others send as they are.
_KEYS = {
    "space": ("space", "空格"),
    "underscore": ("underscore", "下划线"),
    "double-quote": ("quote", "引号"),
    "alt": ("alt", "alt"),
    "control": ("control", "control"),
    "hyper": ("hyper", "hyper"),
    "meta": ("meta", "meta"),
    "shift": ("shift", "shift"),
    "super": ("super", "super"),
    "backspace": ("backspace", "退格"),
    "break": ("break", "中断"),
    "delete": ("delete", "删除"),
    "down": ("down", "下"),
    "end": ("end", "行尾"),
    "enter": ("enter", "回车"),
    "escape": ("escape", "退出"),
    "home": ("home", "行首"),
    "insert": ("insert", "插入"),
    "kp-enter": ("keypad enter", "小键盘回车"),
    "left": ("left", "左"),
    "menu": ("menu", "菜单"),
    "next": ("page down", "下一页"),
    "num-lock": ("num lock", "数字锁定"),
    "pause": ("pause", "暂停"),
    "print": ("print", "打印"),
    "prior": ("page up", "上一页"),
    "return": ("return", "回车"),
    "right": ("right", "右"),
    "scroll-lock": ("scroll lock", "滚动锁定"),
    "tab": ("tab", "制表键"),
    "up": ("up", "上"),
    "window": ("window", "窗口"),
    "caps-lock": ("caps lock", "大写锁定"),
}
_FUNCTION_KEYS = 24


def character(char: str, language: str, capital: bool = False) -> str:
    """What one character is called.

    Args:
        language: "en" or "zh".
        capital: whether it is said that a letter is a capital one.
    """
    char = unicodedata.normalize("NFC", char)
    column = language == "zh"
    if char in _CHARACTERS:
        return _CHARACTERS[char][column]
    if len(char) == 1 and char in "0123456789":
        return _DIGITS[int(char)] if column else _ENGLISH_DIGITS[int(char)]
    if len(char) != 1 or char.isalnum():
        # A capital letter is read by its name; a small one can be taken for a word.
        name = char.upper() if len(char) == len(char.upper()) == 1 else char
        return f"{('capital', '大写')[column]} {name}" if capital and char.isupper() else name
    return unicodedata.name(char, "symbol").lower()


def key(name: str, language: str, capital: bool = False) -> str:
    """What a key is called: "control_alt_a", "kp-5", "F3", "B"."""
    column = language == "zh"
    # An underscore joins keys, unless it is one.
    *held, last = name.split("_") if name.strip("_") else [name]
    held_names = [_KEYS[one][column] if one in _KEYS else one for one in held]
    return " ".join([*held_names, _single(last, language, capital)]).strip()


def known(language: str) -> Iterator[str]:
    """The texts that are worth speaking beforehand, the most wanted first."""
    column = language == "zh"
    seen: set[str] = set()
    letters = [chr(ord("A") + i) for i in range(26)]
    names = [
        *letters,
        *(_DIGITS if column else _ENGLISH_DIGITS),
        *(names[column] for names in _CHARACTERS.values()),
        *(key(name, language) for name in _KEYS),
        *(key(f"f{i}", language) for i in range(1, 13)),
        *_server_names(language),
        *(character(letter, language, capital=True) for letter in letters),
        *(key(f"kp-{sign}", language) for sign in "0123456789*+-./"),
    ]
    for name in names:
        if name not in seen:
            seen.add(name)
            yield name


def _single(name: str, language: str, capital: bool) -> str:
    column = language == "zh"
    small = name.lower()
    if small in _KEYS:
        return _KEYS[small][column]
    if small.startswith("kp-") and len(name) == 4:
        return f"{('keypad', '小键盘')[column]} {character(name[3], language)}"
    if small[:1] == "f" and small[1:].isdecimal() and 1 <= int(small[1:]) <= _FUNCTION_KEYS:
        return f"F {int(small[1:])}"
    return character(name, language, capital)


def _server_names(language: str) -> Iterator[str]:
    """What speech-dispatcher calls the characters of a keyboard, where it is installed.

    A line of its file holds a character, its name and more, with tabs between them.
    """
    folder = "zh_CN" if language == "zh" else "en"
    try:
        lines = (LOCALES / folder / "symbols.dic").read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        sign, _, rest = line.partition("\t")
        sign = sign.removeprefix("\\") or sign
        if len(sign) == 1 and " " <= sign <= "~" and (name := rest.partition("\t")[0].strip()):
            yield name
