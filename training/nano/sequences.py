"""Sentences as tokens → batches of token sequences for the language model.

A sentence becomes one of three sequences, prompts with their answers:

    clone       its text in the voice of another sentence → semantic tokens, end
    transcript  the other sentence's words and tokens open the answer → the same
    create      gender, pitch and speed → their values, a voice, semantic tokens, end

Only the answer is learnt; the prompt is given. Where in a text it has got to is the hardest thing
for a model to find, so the batches say which letter each semantic token is about.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import HOP, RATE
from encoded import Encoded
from labels import LEVELS, Thresholds, pitch_value, speed_value
from vocabulary import GENDERS, Labels, Vocabulary
from voices import speakers

# Of a hundred sentences, how many become a sequence of each kind: in the first epochs, and later.
FIRST_SHARES = {"clone": 70, "transcript": 0, "create": 30}
SHARES = {"clone": 45, "transcript": 25, "create": 30}
# And how many of a hundred are then two sentences in a row, so that longer texts are known as well.
JOINED = 25
TOKEN_RATE = RATE / HOP
# Where a prompt's text begins: after the task and the mark that content follows.
_TEXT = 2
_VOWELS = set("AIOQWYæɑɐɒəɚɛɜɪɨiɔuʊʌᵊᵻaeo")

Written = tuple[list[int], list[int], list[float]]  # prompt, answer, letters (see `Batch.due`)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Sequences of about the same length, filled up at their ends.

    Attributes:
        ids: what the model is given, (B, T).
        answers: what it should answer at each place, (B, T); -100 where nothing is asked.
        due: the letter of its text that each place should answer for, (B, T); NaN where it answers
            with no speech, or nobody knows.
    """

    ids: Tensor
    answers: Tensor
    due: Tensor

    def near(self, letters: float) -> tuple[Tensor, Tensor]:
        """Which places should be looked at, (B, T, T), and from which places, (B, T)."""
        places = torch.arange(self.due.shape[1], device=self.due.device) - _TEXT
        near = (places + 0.5 - self.due[..., None]).abs() <= letters
        return near & (places >= 0), ~self.due.isnan()

    def to(self, device: str) -> Batch:
        return Batch(self.ids.to(device), self.answers.to(device), self.due.to(device))


class Sequences:
    """All sentences of a split, and how they become batches.

    Args:
        most_tokens: of a batch, fillings included.
        single_epochs: how many epochs hold single sentences only.
        thresholds: where the levels of pitch and speed part; measured here if not given.
    """

    def __init__(
        self,
        data: Encoded,
        vocabulary: Vocabulary,
        most_tokens: int,
        seed: int,
        single_epochs: int = 0,
        thresholds: Thresholds | None = None,
    ) -> None:
        self._data, self._vocabulary = data, vocabulary
        self._most_tokens, self._seed, self._single = most_tokens, seed, single_epochs
        self.sentences: Any = data.clips.good
        clips = data.clips
        genders = {speaker.number: speaker.gender for speaker in speakers()}
        self._gender = [genders[int(n)] for n in clips.speaker]
        self._f0 = np.array([_mean(clips.labels("f0", i)) for i in range(len(clips))])
        self._rate = np.array([self._syllables(i) for i in range(len(clips))])
        self.thresholds = thresholds or Thresholds.fit(
            [self._gender[i] for i in self.sentences],
            self._f0[self.sentences].tolist(),
            self._rate[self.sentences].tolist(),
        )
        order = sorted(self.sentences.tolist(), key=lambda i: (clips.speaker[i], self._rate[i]))
        self._alike, self._place = order, {i: place for place, i in enumerate(order)}

    def epoch(self, number: int) -> Iterator[Batch]:
        """Every sentence once, in batches of an order that seed and number decide."""
        rng = np.random.default_rng((self._seed, number))
        single = number < self._single
        written = [self._drawn(int(i), single, rng) for i in rng.permutation(self.sentences)]
        batches: list[list[Written]] = [[]]
        for one in sorted(written, key=_length):
            if batches[-1] and _length(one) * (len(batches[-1]) + 1) > self._most_tokens:
                batches.append([])
            batches[-1].append(one)
        for i in rng.permutation(len(batches)):
            yield joined(batches[i])

    def labels(self, i: int) -> Labels:
        """What sentence i would be asked for by."""
        gender, f0, rate = self._gender[i], float(self._f0[i]), float(self._rate[i])
        return Labels(
            GENDERS.index(gender),
            LEVELS.index(self.thresholds.pitch_label(gender, f0)),
            LEVELS.index(self.thresholds.speed_label(rate)),
            pitch_value(f0),
            speed_value(rate),
        )

    def sequence(self, i: int, kind: str, other: int, following: int | None = None) -> Written:
        """Sentence i, and another `following` it, as a sequence of a kind, in `other`'s voice."""
        vocabulary, text, due = self._vocabulary, self._text(i), self._due(i)
        tokens = list(self._data.tokens(i))
        if following is not None:
            due = due + _later(self._due(following), f"{text} ")
            text = f"{text} {self._text(following)}"
            tokens += list(self._data.tokens(following))
        spoken = [*vocabulary.semantic(tokens), vocabulary.mark["im_end"]]
        voice = self._data.speakers[other]
        if kind == "clone":
            return vocabulary.clone(text, voice), spoken, due
        if kind == "transcript":
            before = self._text(other)
            prompt = vocabulary.clone(before + text, voice)
            opening = vocabulary.semantic(list(self._data.tokens(other)))
            return [*prompt, *opening], spoken, _later(due, before)
        labels = self.labels(i)
        created = vocabulary.created(labels, self._data.speakers[i])
        return vocabulary.create(text, labels), [*created, *spoken], due

    def _drawn(self, i: int, single: bool, rng: np.random.Generator) -> Written:
        shares = FIRST_SHARES if single else SHARES
        kind = str(rng.choice(list(shares), p=np.array(list(shares.values())) / 100))
        two = not single and rng.random() * 100 < JOINED
        return self.sequence(
            i, kind, self._neighbour(i, rng), self._neighbour(i, rng) if two else None
        )

    def _neighbour(self, i: int, rng: np.random.Generator) -> int:
        """Another sentence of the same voice at about the same speed."""
        place = self._place[i] + int(rng.integers(1, 4)) * int(rng.choice([-1, 1]))
        other = int(self._alike[min(max(place, 0), len(self._alike) - 1)])
        speaker = self._data.clips.speaker
        return other if speaker[other] == speaker[i] else i

    def _text(self, i: int) -> str:
        return self._data.clips.meta[i]["text"]

    def _due(self, i: int) -> list[float]:
        """The byte of its text that each semantic token says, about."""
        clips, text = self._data.clips, self._text(i)
        starts = [0, *(place + 1 for place, sign in enumerate(text) if sign == " ")]
        seconds, count = clips.words(i), clips.frames(i)
        if len(starts) + 1 != len(seconds):
            return [math.nan] * count
        letters = [len(text[:place].encode()) for place in [*starts, len(text)]]
        middles = (np.arange(count) + 0.5) / TOKEN_RATE
        return list(np.interp(middles, seconds, letters))

    def _syllables(self, i: int) -> float:
        """Syllables a second."""
        clips = self._data.clips
        vowels = sum(sign in _VOWELS for sign in clips.meta[i]["phonemes"])
        said = np.flatnonzero(clips.labels("phonemes", i))
        return vowels / max(1, said[-1] + 1 - said[0]) * TOKEN_RATE if len(said) else 0.0


def joined(sequences: list[Written]) -> Batch:
    """What a sequence is filled up with is never looked at: attention is causal."""
    longest = max(map(_length, sequences)) - 1
    ids = np.zeros((len(sequences), longest), np.int64)
    answers = np.full_like(ids, -100)
    due = np.full(ids.shape, math.nan, np.float32)
    for row, (prompt, answer, letters) in enumerate(sequences):
        given = [*prompt, *answer[:-1]]
        ids[row, : len(given)] = given
        answers[row, len(prompt) - 1 : len(given)] = answer
        due[row, len(given) - 1 - len(letters) : len(given) - 1] = letters
    return Batch(*(torch.from_numpy(array) for array in (ids, answers, due)))


def _mean(f0: Any) -> float:
    voiced = f0[f0 > 0]
    return float(voiced.mean()) if len(voiced) else 100.0


def _later(due: list[float], text: str) -> list[float]:
    """The letters of a text that comes after another."""
    return [letter + len(text.encode()) for letter in due]


def _length(written: Written) -> int:
    return len(written[0]) + len(written[1])
