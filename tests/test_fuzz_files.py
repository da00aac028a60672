"""Damaged files of every kind are read or refused in one line: no traceback, no hang, no flood."""

from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fuzz_bytes import MOST_BYTES, count, damaged, memory, survives
from fuzz_values import mutations
from read_samples import column, epub, pdf
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.model_files import TOKENIZER_FILE
from spark_mlx.convert.source import Source
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.install import blocks
from spark_mlx.reader.formats.detect import read_bytes
from spark_mlx.voice import Voice
from test_pickles import MATRIX, Storage, Tensor, torch_names, write_legacy, write_zip

HTML = (
    b"<!DOCTYPE html><html lang=en><head><title>A page</title></head><body><nav>no</nav><main>"
    b"<h1>One</h1><p>Two <b>bold</b> words<sup><a href='#n'>1</a></sup>.<ol start=3><li>a"
    b"<li value=9>b</ol><table><tr><th>h<th>i<tr><td>1<td>2</table><pre>a\nb</pre>"
    b"<img alt='x'>&nbsp;&#x4e2d;"
)
MARKDOWN = (
    b"---\ntitle: T\n---\n# One\n\nTwo *bold* [link](x) ![i](y) `c` ~~s~~[^1]\n\n- a\n  - b\n\n"
    b"| h | i |\n|---|---|\n| 1 | 2 |\n\n> q\n\n```\ncode\n```\n\n[^1]: note\n<div>x</div>\n"
)
TEXT = "CHAPTER ONE\n\nIt was a café; 第一章 中文。\n\n  - item\n  - item\n".encode()
TAGS = (
    *(b"<div>", b"</p>", b"<!--", b"-->", b"<![CDATA[", b"&#xd800;", b"&#999999999;", b"<table>"),
    *(
        b"<!DOCTYPE x [",
        b"]>",
        b"<?xml version='1.0'?>",
        b"<ol start='-9'>",
        b"\xff\xfe",
        b"\x1b[2J",
    ),
)


def document_bytes(kind: str) -> bytes:
    match kind:
        case "page.html":
            return HTML
        case "page.md":
            return MARKDOWN
        case "page.txt":
            return TEXT
        case "book.epub":
            return epub({"a": "<h1>One</h1><p>Two &eacute;.</p>", "b": "<p>Three<br/>four</p>"})
        case _:
            page = [(70.0, 790.0, 20.0, "A Heading"), *column("Some words of a paper,\nand more.")]
            return pdf([page])


__all__ = ["torch_names"]  # a fixture that pickles need


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    before = memory()
    yield
    assert memory() - before < MOST_BYTES


@pytest.mark.parametrize("name", ["page.html", "page.md", "page.txt", "book.epub", "paper.pdf"])
def test_documents(name: str) -> None:
    original = document_bytes(name)
    assert survives(lambda: read_bytes(original, name))
    for data in damaged(original, count(80), seed=3, words=TAGS):
        survives(lambda data=data: _read(data, name))


def _read(data: bytes, name: str) -> None:
    document = read_bytes(data, name)
    document.title.encode()
    assert "\x1b" not in document.text
    for index in range(min(20, len(document.paragraphs))):
        assert document.sentences(index)


def test_packed_documents(tmp_path: Path) -> None:
    """The parts of a book are damaged before they are packed, so that each is unpacked."""
    path = tmp_path / "book.epub"
    path.write_bytes(document_bytes("book.epub"))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, part in parts.items():
        for data in damaged(part, count(60) // 4, seed=4, words=TAGS):
            with zipfile.ZipFile(path, "w") as archive:
                for other, content in parts.items():
                    archive.writestr(other, data if other == name else content)
            book = path.read_bytes()
            survives(lambda book=book: _read(book, "book.epub"))


def test_voices(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    voice = Voice(
        **{"name": "v", "codec": "c" * 64, "origin": "cloned", "source": "a.wav"},
        global_tokens=np.arange(32, dtype=np.int32),
        semantic_tokens=np.arange(90, dtype=np.int32),
        transcript="words",
    )
    voice.save(path)
    for data in damaged(path.read_bytes(), count(200), seed=5):
        path.write_bytes(data)
        survives(lambda: Voice.load(path))


def test_descriptions_of_voices(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    meta = {
        **{"format": 1, "name": "v", "codec": "c", "origin": "created", "source": "s"},
        **{"transcript": None, "consent": "", "created": "2025-01-31"},
        "attributes": {
            **{"gender": "male", "pitch": "low", "speed": "low"},
            **{"pitch_value": 3, "speed_value": 4},
        },
    }
    for _, _, changed in mutations(meta, count(150), seed=6):
        np.savez(path, meta=np.array(json.dumps(changed)), global_tokens=np.arange(32))
        survives(lambda: Voice.load(path))


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_pickles(tmp_path: Path, write: Callable[[Path, object], Path]) -> None:
    tensor = Tensor(Storage(MATRIX), (3, 4), (4, 1))
    state = OrderedDict(weight=tensor, bias=Tensor(Storage(MATRIX[0]), (4,), (1,)))
    path = write(tmp_path / "pytorch_model.bin", state)
    words = (
        b"2",
        b"\x86",
        b"R",
        b"(",
        b"t",
        b"}",
        b"s",
        b"\x8b\xff\xff\xff\x7f",
        b"r\xff\xff\xff\x7f",
    )
    for data in damaged(path.read_bytes(), count(200), seed=7, words=words):
        path.write_bytes(data)
        survives(lambda: Source(tmp_path))


def test_tokenizers(model: Path, tmp_path: Path) -> None:
    config = ModelConfig.load(model)
    tokens = config.speaker_encoder.codes, config.quantizer.codebook_size
    original = (model / TOKENIZER_FILE).read_bytes()
    words = (b"null", b"[]", b"-1", b"99999999999", b'"x"', b"{}", b"true", b"1e999")
    for data in damaged(original, count(12), seed=8, words=words):
        (tmp_path / TOKENIZER_FILE).write_bytes(data)
        survives(lambda: Vocabulary.load(tmp_path, *tokens))


def test_marks_in_configurations(tmp_path: Path) -> None:
    path = tmp_path / "speechd.conf"
    original = blocks.with_block(b"LogLevel 3\nAddModule x\n", ["AddModule y"])
    for data in damaged(original, count(200), seed=9, words=(blocks.BEGIN, blocks.END, b"\r\n")):
        path.write_bytes(data)
        survives(lambda: blocks.without_block(blocks.read(path) or b""))
