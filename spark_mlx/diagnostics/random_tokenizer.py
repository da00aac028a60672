"""Tokenizers with the published tokens and ids, but without a learnt vocabulary: text is bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

FIRST_ADDED = 151_643  # the id of <|endoftext|> in the published tokenizer

_SPECIAL = """
    <|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|>
    <|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|>
    <|image_pad|> <|video_pad|> <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|>
    <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
"""
_RANGES = {
    "pitch_value": 1001,
    "pitch_var_value": 11,
    "pitch_label": 5,
    "pitch_var_label": 5,
    "speed_value": 11,
    "speed_label": 5,
    "loudness_value": 31,
    "loudness_label": 5,
    "age": 5,
    "gender": 3,
    "emotion": 101,
}
_TASKS = "vc tts asr s2s t2s cap understand controllable_tts prompt_tts edit"
_SECTIONS = "content style_label style_prompt acoustic_token global_token semantic_token"


def special_tokens() -> list[str]:
    """The tokens that Qwen2.5 marks as special, in the order of their ids."""
    return _SPECIAL.split()


def speech_tokens(global_codes: int, semantic_codes: int) -> list[str]:
    """The tokens that Spark-TTS adds after the special ones, in the order of their ids."""
    ranges = {"bicodec_global": global_codes, "bicodec_semantic": semantic_codes, **_RANGES}
    names = [f"{name}_{i}" for name, count in ranges.items() for i in range(count)]
    names += [f"task_{name}" for name in _TASKS.split()]
    names += [f"{edge}_{name}" for edge in ("start", "end") for name in _SECTIONS.split()]
    return [f"<|{name}|>" for name in names]


def added_tokens(first_added_id: int, global_codes: int, semantic_codes: int) -> dict[str, int]:
    """The control tokens of Spark-TTS with their ids.

    Args:
        first_added_id: id of `<|endoftext|>`.
        global_codes: how many `<|bicodec_global_…|>` there are.
        semantic_codes: how many `<|bicodec_semantic_…|>` there are.
    """
    tokens = special_tokens() + speech_tokens(global_codes, semantic_codes)
    return {token: first_added_id + i for i, token in enumerate(tokens)}


def byte_tokenizer(tokens: Mapping[str, int]) -> str:
    """A tokenizer.json that reads text byte by byte, ids 0 to 255, and knows tokens by their ids.

    Args:
        tokens: id by name; a name without brackets stands for `<|name|>`.
    """
    text = _byte_level({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))})
    # Written into the file and not added to the tokenizer, which would number them itself.
    added = [
        {"id": id_, "content": name if name.startswith("<") else f"<|{name}|>"}
        for name, id_ in tokens.items()
    ]
    return json.dumps({**json.loads(text.to_str()), "added_tokens": added})


def filled_tokenizer(first_added_id: int, global_codes: int, semantic_codes: int) -> Tokenizer:
    """A whole tokenizer: bytes, filler entries up to `first_added_id`, then the control tokens."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    filler = [f"unused{i}" for i in range(len(characters), first_added_id)]
    tokenizer = _byte_level({entry: i for i, entry in enumerate(characters + filler)})
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special_tokens()])
    plain = speech_tokens(global_codes, semantic_codes)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    return tokenizer


def _byte_level(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return tokenizer
