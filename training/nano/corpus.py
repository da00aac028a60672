"""English sentences for training and watching nano: everyday ones, and prose of Debian's packages.

    python training/nano/corpus.py build/nano/sentences.jsonl --seed 0

More than half are made by `everyday.py`, of 1 to 30 words; the rest have 3 to 14. It needs four
packages: fortunes, bible-kjv (with bible-kjv-text), and wamerican. The sentences of `unseen.txt`
are kept out, for those judge the model.

Each line of the file is {"id": "train-000001", "split": "train", "text": "..."}; the splits are
train, valid and eval, and no sentence is in two of them, nor twice in one (compared in lower case
without punctuation). Numbers and dates are in words, as a normaliser writes them. The same seed and
packages give the same file.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import everyday
import spoken_numbers as spoken

FORTUNES = Path("/usr/share/games/fortunes")
WORDS = Path("/usr/share/dict/american-english")
# Pictures, program text and verse; and what nobody needs to hear from a demonstration.
UNSPEAKABLE = {"ascii-art", "perl", "songs-poems", "drugs", "ethnic", "men-women", "sex"}

FEWEST, MOST = 3, 14  # words
LONGEST_WORD = 16  # letters

# Parts of the corpus; what a source cannot fill, words in frames do, of which there are plenty.
SHARES = {
    "everyday": 0.55, "kjv": 0.10, "fortunes": 0.12, "numbers": 0.08, "names": 0.05, "words": 0.10,
}  # fmt: skip
UNSEEN = Path(__file__).with_name("unseen.txt")

# A source that gives nothing new so many times in a row is spent.
PATIENCE = 50_000

_ALLOWED = re.compile(r"[A-Za-z][A-Za-z ,.;:?!'-]*[.?!]")
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
_SHOUTED = re.compile(r"\b(?!I\b|A\b)[A-Z]{1,}\b|[a-z][A-Z]|\w\.\w")

NAME_FRAMES = """{a} and {b} walked home together.|Have you heard from {a}, or from {b}?
My neighbour {a} knows {b} very well.|{a} said that {b} would come later.|Good morning, {a}.
Is this the house of {a} and {b}?|Please give the letter to {a}, not to {b}.|Thank you, {a}!
They travelled from {a} to {b} by train.|I have never met {a}, but I know {b}.
{a} is older than {b}.|Where did {a} and {b} go yesterday?|The story begins with {a} and {b}."""
WORD_FRAMES = """The words on the page were {a}, {b} and {c}.|Did you say {a}, or was it {b}?
She wrote {a} at the top, and {b} below.|First comes {a}, then {b}, and last of all {c}.
He could not spell {a} or {b}.|We looked up {a} in the dictionary, and found {b}.
What is the difference between {a} and {b}?|Nobody had expected {a} to follow {b}.
I wrote down {a}, {b}, {c} and {d}.|Is {a} really a word?|{A} and {b} are on the list.
You should read {a} before {b}, and {c} after that.|My list says {a}, {b}, {c}."""


class CorpusError(Exception):
    """A source is missing, or too small for what was asked."""


def main(arguments: list[str] | None = None) -> None:
    """Writes the sentences and says how many came from where."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="the .jsonl file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, default=40_000, help="sentences to train on")
    parser.add_argument("--valid", type=int, default=400, help="sentences to watch training with")
    parser.add_argument("--eval", type=int, default=500, help="sentences to judge the model with")
    args = parser.parse_args(arguments)
    sizes = {"eval": args.eval, "valid": args.valid, "train": args.train}
    try:
        rows, counts = build(sizes, args.seed)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    except (CorpusError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{args.out}: {len(rows)} sentences,", counts, file=sys.stderr)


def build(sizes: dict[str, int], seed: int) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Draws the sentences of each split → the rows of the file, and their number by source."""
    rng = random.Random(seed)
    names, words = word_lists(WORDS)
    endless: dict[str, Callable[[], str]] = {
        "everyday": lambda: everyday.sentence(rng),
        "numbers": lambda: spoken.sentence(rng),
        "names": lambda: fill(NAME_FRAMES, names, rng),
        "words": lambda: fill(WORD_FRAMES, words, rng),
    }
    finite = {"kjv": kjv(), "fortunes": fortunes(FORTUNES)}
    total = sum(sizes.values())
    seen = {normalised(line) for line in UNSEEN.read_text(encoding="utf-8").splitlines()}
    drawn: list[str] = []
    counts = dict.fromkeys(SHARES, 0)

    def take(sentences: Iterable[str], source: str, count: int) -> None:
        missed = 0
        for sentence in sentences:
            if count <= 0 or missed > PATIENCE:
                return
            missed += 1
            key = normalised(sentence)
            if key not in seen and (source == "everyday" or speakable(sentence)):
                seen.add(key)
                drawn.append(sentence)
                counts[source] += 1
                count -= 1
                missed = 0

    for source, share in SHARES.items():
        if source in finite:
            pool = sorted(set(finite[source]))
            rng.shuffle(pool)
            take(pool, source, round(total * share))
        elif source != "words":
            take(repeat(endless[source]), source, round(total * share))
    take(repeat(endless["words"]), "words", total - len(drawn))
    if len(drawn) < total:
        raise CorpusError(f"{len(drawn)} sentences are all there are; ask for no more than that")

    rng.shuffle(drawn)
    rows = []
    for split, size in sizes.items():
        texts, drawn = drawn[:size], drawn[size:]
        rows += [
            {"id": f"{split}-{i:06}", "split": split, "text": text}
            for i, text in enumerate(texts, start=1)
        ]
    return rows, counts


def repeat(make: Callable[[], str]) -> Iterator[str]:
    """What `make` gives, again and again."""
    while True:
        yield make()


def normalised(sentence: str) -> str:
    """A sentence as two are compared: words in lower case."""
    return " ".join(_WORD.findall(sentence.lower()))


def speakable(sentence: str) -> bool:
    """Is it a sentence of 3 to 14 plain words, without abbreviations and shouting?"""
    words = _WORD.findall(sentence)
    return (
        FEWEST <= len(words) <= MOST
        and all(len(word) <= LONGEST_WORD for word in words)
        and _ALLOWED.fullmatch(sentence) is not None
        and not _SHOUTED.search(sentence)
        and not re.search(r"[,.;:?!'-]{2}|\s[,.;:?!]|\s'|'\s| -|- ", sentence)
    )


def sentences(text: str) -> Iterator[str]:
    """Prose → its sentences, ending as they end; whether one can be spoken is not asked here."""
    text = re.sub(r"\s+", " ", text.replace('"', "").replace("...", "."))
    text = re.sub(r"(?<=[.?!]) ?-- ?", " ", text).replace("--", ", ")
    for found in re.finditer(r"[A-Z].*?[.?!](?=\s|$)", re.sub(r"\s+([,.;:?!])", r"\1", text)):
        yield found[0].strip()


def kjv() -> list[str]:
    """The King James Version: its verses' clauses, each as a sentence."""
    if shutil.which("bible") is None:
        raise missing("the program bible", "bible-kjv")
    done = subprocess.run(
        ["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=False
    )
    if done.returncode or not done.stdout:
        raise missing("the text of the Bible", "bible-kjv-text")
    found: list[str] = []
    for line in done.stdout.splitlines():
        verse = re.sub(r"[()\[\]]", "", line.partition(" ")[2])
        for clause in re.findall(r"[^.;:?!]+[.;:?!]?", verse):
            said = clause.strip(" ,")
            if said:
                end = said[-1] if said[-1] in "?!" else "."
                found.append(said[0].upper() + said.rstrip(".;:?!, ")[1:] + end)
    return found


def fortunes(folder: Path) -> list[str]:
    """The cookies of fortune in English: their sentences, without who said them."""
    paths = [p for p in sorted(folder.glob("*")) if not p.suffix and p.name not in UNSPEAKABLE]
    if not paths:
        raise missing(str(folder), "fortunes")
    found: list[str] = []
    for path in paths:
        for cookie in re.split(r"\n%+\n", path.read_text(encoding="utf-8", errors="replace")):
            said = re.split(r"\n\s*--", cookie)[0]
            found += sentences(re.sub(r"[*_]", "", said))
    return found


def word_lists(path: Path) -> tuple[list[str], list[str]]:
    """A word list → its names and its other words of 4 letters or more, in the list's order."""
    if not path.exists():
        raise missing(str(path), "wamerican")
    plain = [word for word in path.read_text(encoding="utf-8").split() if word.isascii()]
    names = [word for word in plain if re.fullmatch(r"[A-Z][a-z]{2,}", word)]
    return names, [word for word in plain if re.fullmatch(r"[a-z]{4,14}", word)]


def fill(frames: str, words: list[str], rng: random.Random) -> str:
    """One of the frames, parted by | or lines, with words drawn for {a} … {d}; {A} is a capital."""
    frame = rng.choice(re.split(r"[|\n]", frames))
    chosen = rng.sample(words, 4)
    return frame.format(A=chosen[0].capitalize(), **dict(zip("abcd", chosen, strict=True)))


def missing(what: str, package: str) -> CorpusError:
    """The error for something that a Debian package brings."""
    return CorpusError(f"{what} is missing; apt-get install {package}")


if __name__ == "__main__":
    main()
