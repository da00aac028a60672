"""The ids of nano's language model: bytes for the text, and a token for each code, label and value.

The names of the tokens and the order of a prompt are the published ones; the runtime reads them
from the tokenizer.json that `Vocabulary.definition` writes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from sizes import Sizes

_BYTES = 256
_MARKS = (
    "im_end",
    "task_tts",
    "task_controllable_tts",
    "start_content",
    "end_content",
    "start_style_label",
    "end_style_label",
    "start_acoustic_token",
    "end_acoustic_token",
    "start_global_token",
    "end_global_token",
    "start_semantic_token",
)
GENDERS = ("female", "male")
LEVELS = ("very_low", "low", "moderate", "high", "very_high")


@dataclasses.dataclass(frozen=True)
class Labels:
    """What voice creation is asked for and answers.

    Attributes:
        gender: an index of `GENDERS`.
        pitch, speed: indices of `LEVELS`.
        pitch_value: of the mean F0 in mel; speed_value: syllables a second.
    """

    gender: int
    pitch: int
    speed: int
    pitch_value: int
    speed_value: int


class Vocabulary:
    """All ids; the attributes `mark`, by name, and the first id of each range."""

    def __init__(self, sizes: Sizes) -> None:
        self.ranges = {
            "gender": len(GENDERS),
            "pitch_label": len(LEVELS),
            "speed_label": len(LEVELS),
            "pitch_value": 1001,
            "speed_value": 11,
            "bicodec_global": sizes.voice.codes,
            "bicodec_semantic": sizes.codebook_size,
        }
        self.mark = {name: _BYTES + i for i, name in enumerate(_MARKS)}
        self.first: dict[str, int] = {}
        self.size = _BYTES + len(_MARKS)
        for name, size in self.ranges.items():
            self.first[name] = self.size
            self.size += size
        # The byte-level alphabet is sorted by character, not by byte.
        self._byte = _byte_ids()

    def definition(self) -> str:
        """A tokenizer.json that reads text byte by byte and knows the other tokens by name."""
        characters = sorted(pre_tokenizers.ByteLevel.alphabet())
        text = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(characters)}, merges=[]))
        text.normalizer = normalizers.NFC()
        text.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        names = dict(self.mark)
        for name, size in self.ranges.items():
            names |= {f"{name}_{code}": self.first[name] + code for code in range(size)}
        added = [{"id": id_, "content": f"<|{name}|>"} for name, id_ in names.items()]
        return json.dumps({**json.loads(text.to_str()), "added_tokens": added})

    def text(self, text: str) -> list[int]:
        return [self._byte[byte] for byte in text.encode()]

    def semantic(self, codes: Sequence[int]) -> list[int]:
        first = self.first["bicodec_semantic"]
        return [first + int(code) for code in codes]

    def voice(self, codes: Sequence[int]) -> list[int]:
        """Global tokens between their marks."""
        first = self.first["bicodec_global"]
        inside = [first + int(code) for code in codes]
        return [self.mark["start_global_token"], *inside, self.mark["end_global_token"]]

    def clone(self, text: str, voice: Sequence[int]) -> list[int]:
        """The prompt that speaks a text in a voice."""
        start = self.mark["start_semantic_token"]
        return [self.mark["task_tts"], *self._content(text), *self.voice(voice), start]

    def create(self, text: str, labels: Labels) -> list[int]:
        """The prompt that asks for a new voice."""
        return [
            self.mark["task_controllable_tts"],
            *self._content(text),
            self.mark["start_style_label"],
            self.first["gender"] + labels.gender,
            self.first["pitch_label"] + labels.pitch,
            self.first["speed_label"] + labels.speed,
            self.mark["end_style_label"],
        ]

    def created(self, labels: Labels, voice: Sequence[int]) -> list[int]:
        """How the answer to `create` begins: exact values, and the voice."""
        return [
            self.mark["start_acoustic_token"],
            self.first["pitch_value"] + labels.pitch_value,
            self.first["speed_value"] + labels.speed_value,
            self.mark["end_acoustic_token"],
            *self.voice(voice),
            self.mark["start_semantic_token"],
        ]

    def _content(self, text: str) -> list[int]:
        return [self.mark["start_content"], *self.text(text), self.mark["end_content"]]


def _byte_ids() -> list[int]:
    """Byte → id: where its sign stands in the byte-level alphabet."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs, extra = {byte: chr(byte) for byte in kept}, 0
    for byte in range(256):
        if byte not in signs:
            signs[byte] = chr(256 + extra)
            extra += 1
    order = {sign: i for i, sign in enumerate(sorted(signs.values()))}
    return [order[signs[byte]] for byte in range(256)]
