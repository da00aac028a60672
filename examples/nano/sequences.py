"""Sentences as codes → batches of token sequences for the language model.

A shard of codes has the name and meta of its shard of sound (`data.py`); in place of the samples
`semantic` int32 with `offsets` (n + 1,), and `global_tokens` int32 (n, G).

A sentence becomes one of three sequences, the prompts of `spark_mlx.tokens` with their answers:

    clone       its text in the voice of another sentence → semantic tokens, end
    transcript  the other sentence's words and tokens open the answer → the same
    create      gender, pitch and speed → their values, a voice, semantic tokens, end

Only the answer is learnt; the prompt is given.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np

from data import Corpus, Meta
from spark_mlx.codec.codec import Codec
from spark_mlx.paths import write_whole
from spark_mlx.text import clean
from spark_mlx.tokens import Vocabulary
from spark_mlx.voice import Attributes

# Of a hundred sentences, how many become a sequence of each kind.
SHARES = {"clone": 45, "transcript": 25, "create": 30}
# And how many of a hundred are two sentences in a row, so that longer texts are known as well.
JOINED = 25
# A reference is among so many neighbours in a list of the same voice, sorted by speed and pitch.
NEIGHBOURS = 3


@dataclasses.dataclass(frozen=True)
class Coded:
    """A sentence as the language model knows it: its tokens, (G,) and (T,), and its labels."""

    global_tokens: list[int]
    semantic_tokens: list[int]
    meta: Meta


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


def load(shards: Sequence[Path]) -> list[Coded]:
    """Reads shards of codes."""
    sentences = []
    for path in shards:
        with np.load(path, allow_pickle=False) as shard:
            semantic = np.split(shard["semantic"], shard["offsets"][1:-1])
            rows = zip(shard["global_tokens"], semantic, shard["meta"].tolist(), strict=True)
            sentences += [Coded(g.tolist(), s.tolist(), json.loads(m)) for g, s, m in rows]
    return sentences


@dataclasses.dataclass(frozen=True)
class TokenBatch:
    """Sequences of about the same length, filled up at their ends.

    Attributes:
        ids: what the model is given, (B, T).
        places: where it has to answer, as places in ids.reshape(-1), (N,).
        answers: what, (N,).
    """

    ids: mx.array
    places: mx.array
    answers: mx.array

    @classmethod
    def of(cls, sequences: Sequence[tuple[list[int], list[int]]]) -> TokenBatch:
        """Joins pairs of a prompt and its answer."""
        longest = max(len(prompt) + len(answer) for prompt, answer in sequences) - 1
        # What a sequence is filled up with is never looked at: attention is causal.
        ids = np.zeros((len(sequences), longest), dtype=np.int32)
        places = []
        for row, (prompt, answer) in enumerate(sequences):
            given = [*prompt, *answer[:-1]]
            ids[row, : len(given)] = given
            first = row * longest + len(prompt) - 1
            places.append(np.arange(first, first + len(answer)))
        answers = np.concatenate([answer for _, answer in sequences]).astype(np.int32)
        return cls(mx.array(ids), mx.array(np.concatenate(places)), mx.array(answers))


class Sequences:
    """All sentences of a split, and how they become batches.

    Args:
        most_tokens: of a batch, fillings included.
    """

    def __init__(
        self, sentences: Sequence[Coded], vocabulary: Vocabulary, most_tokens: int, seed: int
    ) -> None:
        self._sentences, self._vocabulary = sentences, vocabulary
        self._most_tokens, self._seed = most_tokens, seed
        self._texts = [clean(sentence.meta["text"]) for sentence in sentences]

        def likeness(i: int) -> tuple[str, int, int, int]:
            meta = sentences[i].meta
            return meta["voice"], meta["speed_label"], meta["pitch_value"], i

        self._alike = sorted(range(len(sentences)), key=likeness)
        self._place = {i: place for place, i in enumerate(self._alike)}

    def epoch(self, number: int) -> Iterator[TokenBatch]:
        """Every sentence once, in batches of an order that seed and number decide."""
        rng = np.random.default_rng((self._seed, number))
        pairs = [self._sequence(int(i), rng) for i in rng.permutation(len(self._sentences))]
        batches: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in sorted(pairs, key=_length):
            batch = batches[-1]
            if batch and _length(pair) * (len(batch) + 1) > self._most_tokens:
                batches.append([pair])
            else:
                batch.append(pair)
        for i in rng.permutation(len(batches)):
            yield TokenBatch.of(batches[i])

    def _sequence(self, i: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """A sentence → a prompt and its answer."""
        shares = np.array(list(SHARES.values())) / sum(SHARES.values())
        kind = str(rng.choice(list(SHARES), p=shares))
        other = self._reference(i, rng)
        if other == i and kind == "transcript":
            kind = "clone"
        following = self._reference(i, rng) if rng.random() * 100 < JOINED else i
        return self.sequence(i, kind, other, None if following == i else following)

    def sequence(
        self, i: int, kind: str, other: int, following: int | None = None
    ) -> tuple[list[int], list[int]]:
        """Sentence i, and another `following` it, as a sequence of a kind, in `other`'s voice."""
        vocabulary, sentence, text = self._vocabulary, self._sentences[i], self._texts[i]
        tokens = sentence.semantic_tokens
        if following is not None:
            text = f"{text} {self._texts[following]}"
            tokens = [*tokens, *self._sentences[following].semantic_tokens]
        spoken = [*vocabulary.semantic.ids(tokens), vocabulary.end]
        voice = self._sentences[other].global_tokens
        if kind == "clone":
            return vocabulary.clone_prompt(text, voice), spoken
        if kind == "transcript":
            opening = self._sentences[other].semantic_tokens
            return vocabulary.clone_prompt(text, voice, self._texts[other], opening), spoken
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
        return prompt, [*whole[len(prompt) :], *spoken]

    def _reference(self, i: int, rng: np.random.Generator) -> int:
        """A sentence that sounds alike: the same voice at about the same speed and pitch."""
        place = self._place[i] + int(rng.integers(-NEIGHBOURS, NEIGHBOURS + 1))
        other = self._alike[min(max(place, 0), len(self._alike) - 1)]
        same = ("voice", "speed_label", "pitch_label")
        mine, its = self._sentences[i].meta, self._sentences[other].meta
        return other if all(mine[key] == its[key] for key in same) else i


def _length(pair: tuple[list[int], list[int]]) -> int:
    return len(pair[0]) + len(pair[1])
