"""Sentences as codes → batches of token sequences for the language model.

A shard of codes has the name and meta of its shard of sound (`data.py`); in place of the samples
`semantic` int32 with `offsets` (n + 1,), and `global_tokens` int32 (n, G).

A sentence becomes one of three sequences, the prompts of `spark_mlx.tokens` with their answers:

    clone       its text in the voice of another sentence → semantic tokens, end
    transcript  the other sentence's words and tokens open the answer → the same
    create      gender, pitch and speed → their values, a voice, semantic tokens, end

Only the answer is learnt; the prompt is given. Where in a text it has got to is the hardest thing
for a model to find, so the first epochs hold single sentences, each with nothing but itself to
read, and all of them have a path through their text (`guide.py`).
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from alignment import WordPath, words_of
from config import NANO
from data import Corpus, Meta
from guide import Paths
from spark_mlx.codec.codec import Codec
from spark_mlx.paths import write_whole
from spark_mlx.text import clean
from spark_mlx.tokens import Vocabulary
from spark_mlx.voice import Attributes

# Of a hundred sentences, how many become a sequence of each kind: in the first epochs, and later.
FIRST_SHARES = {"clone": 70, "transcript": 0, "create": 30}
SHARES = {"clone": 45, "transcript": 25, "create": 30}
# And how many of a hundred are then two sentences in a row, so that longer texts are known as well.
JOINED = 25
TOKEN_RATE = NANO.sample_rate / NANO.hop  # semantic tokens a second
# Where a prompt's text begins: after the task and the mark that content follows.
_TEXT = 2
# A reference is among so many neighbours in a list of the same voice, sorted by speed and pitch.
NEIGHBOURS = 3


@dataclasses.dataclass(frozen=True)
class Coded:
    """A sentence as the language model knows it.

    Attributes:
        global_tokens, semantic_tokens: (G,) and (T,).
        meta: its text and its labels.
        words: where in the text, and at which second, each word begins and all ends; empty if
            nobody knows.
    """

    global_tokens: list[int]
    semantic_tokens: list[int]
    meta: Meta
    words: WordPath

    def due(self, text: str) -> list[float]:
        """The byte of its cleaned text that each semantic token says, about: (T,)."""
        if not self.words or text != self.meta["text"]:
            return [math.nan] * len(self.semantic_tokens)
        places, times = zip(*self.words, strict=True)
        letters = [len(text[:place].encode()) for place in places]
        middles = (np.arange(len(self.semantic_tokens)) + 0.5) / TOKEN_RATE
        return list(np.interp(middles, times, letters))


def encode(codec: Codec, sound: Path, codes: Path) -> None:
    """Turns a shard of sound into one of codes, written whole or not at all."""
    corpus = Corpus([sound])
    found = [codec.encode(corpus[i]) for i in range(len(corpus))]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        global_tokens=np.stack([c.global_tokens for c in found]),
        semantic=np.concatenate([c.semantic_tokens for c in found]),
        offsets=np.cumsum([0, *(len(c.semantic_tokens) for c in found)], dtype=np.int64),
        meta=np.array([json.dumps(meta, ensure_ascii=False) for meta in corpus.meta]),
    )
    write_whole(codes, file.getvalue())


def load(shards: Sequence[Path], corpus: Path) -> list[Coded]:
    """Reads shards of codes, and from the corpus's folder when which word is said."""
    sentences = []
    for path in shards:
        words = words_of(corpus / path.name)
        known = json.loads(words.read_text()) if words.exists() else itertools.repeat([])
        with np.load(path, allow_pickle=False) as shard:
            semantic = np.split(shard["semantic"], shard["offsets"][1:-1])
            rows = zip(shard["global_tokens"], semantic, shard["meta"].tolist(), strict=True)
            sentences += [
                Coded(g.tolist(), s.tolist(), json.loads(m), times)
                for (g, s, m), times in zip(rows, known, strict=False)
            ]
    return sentences


class Written(NamedTuple):
    """A prompt and its answer, as ids.

    Attributes:
        due: the letter of the prompt's text that each semantic token of the answer says, about;
            NaN if nobody knows. Only the end follows those tokens.
    """

    prompt: list[int]
    answer: list[int]
    due: list[float]


@dataclasses.dataclass(frozen=True)
class TokenBatch:
    """Sequences of about the same length, filled up at their ends.

    Attributes:
        ids: what the model is given, (B, T).
        places: where it has to answer, as places in ids.reshape(-1), (N,).
        answers: what, (N,).
        paths: through the texts.
    """

    ids: mx.array
    places: mx.array
    answers: mx.array
    paths: Paths

    @classmethod
    def of(cls, sequences: Sequence[Written]) -> TokenBatch:
        """Joins sequences."""
        longest = max(map(_length, sequences)) - 1
        # What a sequence is filled up with is never looked at: attention is causal.
        ids = np.zeros((len(sequences), longest), dtype=np.int32)
        places = []
        for row, (prompt, answer, *_) in enumerate(sequences):
            given = [*prompt, *answer[:-1]]
            ids[row, : len(given)] = given
            first = row * longest + len(prompt) - 1
            places.append(np.arange(first, first + len(answer)))
        answers = np.concatenate([written.answer for written in sequences]).astype(np.int32)
        letters = np.full(ids.shape, math.nan, dtype=np.float32)
        for row, written in enumerate(sequences):
            end = _length(written) - 2  # the place that answers with the end
            letters[row, end - len(written.due) : end] = written.due
        paths = Paths(mx.array([_TEXT] * len(sequences)), mx.array(letters))
        return cls(mx.array(ids), mx.array(np.concatenate(places)), mx.array(answers), paths)


class Sequences:
    """All sentences of a split, and how they become batches.

    Args:
        most_tokens: of a batch, fillings included.
        single_epochs: how many epochs hold single sentences only.
    """

    def __init__(
        self,
        sentences: Sequence[Coded],
        vocabulary: Vocabulary,
        most_tokens: int,
        seed: int,
        single_epochs: int = 0,
    ) -> None:
        self._sentences, self._vocabulary = sentences, vocabulary
        self._most_tokens, self._seed = most_tokens, seed
        self._single_epochs = single_epochs
        self._texts = [clean(sentence.meta["text"]) for sentence in sentences]

        def likeness(i: int) -> tuple[str, int, int, int]:
            meta = sentences[i].meta
            return meta["voice"], meta["speed_label"], meta["pitch_value"], i

        self._alike = sorted(range(len(sentences)), key=likeness)
        self._place = {i: place for place, i in enumerate(self._alike)}

    def epoch(self, number: int) -> Iterator[TokenBatch]:
        """Every sentence once, in batches of an order that seed and number decide."""
        rng = np.random.default_rng((self._seed, number))
        single = number < self._single_epochs
        order = rng.permutation(len(self._sentences))
        all_written = [self._sequence(int(i), single, rng) for i in order]
        batches: list[list[Written]] = [[]]
        for written in sorted(all_written, key=_length):
            batch = batches[-1]
            if batch and _length(written) * (len(batch) + 1) > self._most_tokens:
                batches.append([written])
            else:
                batch.append(written)
        for i in rng.permutation(len(batches)):
            yield TokenBatch.of(batches[i])

    def _sequence(self, i: int, single: bool, rng: np.random.Generator) -> Written:
        """A sentence → a prompt and its answer."""
        shares = FIRST_SHARES if single else SHARES
        kind = str(rng.choice(list(shares), p=np.array(list(shares.values())) / 100))
        other = self._reference(i, rng)
        if other == i and kind == "transcript":
            kind = "clone"
        joined = not single and rng.random() * 100 < JOINED
        following = self._reference(i, rng) if joined else i
        return self.sequence(i, kind, other, None if following == i else following)

    def sequence(self, i: int, kind: str, other: int, following: int | None = None) -> Written:
        """Sentence i, and another `following` it, as a sequence of a kind, in `other`'s voice."""
        vocabulary, sentence, text = self._vocabulary, self._sentences[i], self._texts[i]
        tokens, due = sentence.semantic_tokens, sentence.due(text)
        if following is not None:
            next_ = self._sentences[following]
            due += _later(next_.due(self._texts[following]), f"{text} ")
            text = f"{text} {self._texts[following]}"
            tokens = [*tokens, *next_.semantic_tokens]
        spoken = [*vocabulary.semantic.ids(tokens), vocabulary.end]
        voice = self._sentences[other].global_tokens
        if kind == "clone":
            return Written(vocabulary.clone_prompt(text, voice), spoken, due)
        if kind == "transcript":
            opening = self._sentences[other].semantic_tokens
            prompt = vocabulary.clone_prompt(text, voice, self._texts[other], opening)
            return Written(prompt, spoken, _later(due, self._texts[other]))
        meta = sentence.meta
        attributes = Attributes(
            gender=meta["gender"],
            pitch=meta["pitch_label"],
            speed=meta["speed_label"],
            pitch_value=meta["pitch_value"],
            speed_value=meta["speed_value"],
        )
        labels = (attributes.gender, attributes.pitch, attributes.speed)
        prompt = vocabulary.create_prompt(text, *labels)
        # The voice answered is the sentence's own: its values are what was measured in it.
        whole = vocabulary.created_prompt(text, attributes, sentence.global_tokens)
        return Written(prompt, [*whole[len(prompt) :], *spoken], due)

    def _reference(self, i: int, rng: np.random.Generator) -> int:
        """A sentence that sounds alike: the same voice at about the same speed and pitch."""
        place = self._place[i] + int(rng.integers(-NEIGHBOURS, NEIGHBOURS + 1))
        other = self._alike[min(max(place, 0), len(self._alike) - 1)]
        same = ("voice", "speed_label", "pitch_label")
        mine, its = self._sentences[i].meta, self._sentences[other].meta
        return other if all(mine[key] == its[key] for key in same) else i


def _later(due: list[float], text: str) -> list[float]:
    """The letters of a text that comes after another."""
    return [letter + len(text.encode()) for letter in due]


def _length(written: Written) -> int:
    return len(written.prompt) + len(written.answer)
