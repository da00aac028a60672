"""The README's examples run, name every command, and use options that exist.

Blocks of sh and python run in the order they stand in, in one folder, with the tiny model as the
default one; what a block writes is there for the next. A comment `<!-- not run: reason -->` before
a block excepts it. The Python blocks are one program, read from top to bottom.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from conftest import REFERENCE, ROOT
from spark_mlx.cli.parser import build_parser

README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of the README."""

    language: str
    code: str
    runs: bool


BLOCKS = [
    Block(found["language"], found["code"], found["reason"] is None)
    for found in _BLOCK.finditer(README)
]


def commands() -> list[list[str]]:
    """The arguments of every `spark-mlx` in the shell blocks, also of those that are not run."""
    lines = (line for block in BLOCKS if block.language == "sh" for line in block.code.splitlines())
    parts = (part for line in lines for part in re.split(r" \| ", line))
    words = (shlex.split(part.partition(" > ")[0], comments=True) for part in parts)
    return [line[1:] for line in words if line[:1] == ["spark-mlx"]]


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


@pytest.fixture(scope="module")
def folder(model: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples mention."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(REFERENCE / "short.wav", folder / "alice.wav")
    (folder / "letter.txt").write_text("Dear Tom.\n\nYours, Alice.\n", encoding="utf-8")
    (folder / "Spark-TTS-0.5B").symlink_to(checkpoint)
    return folder


def run(command: list[str], folder: Path, model: Path) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "error",
            "SPARK_MLX_HOME": str(folder / "home"),
            "SPARK_MLX_MODEL": str(model),
        },
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_shell_examples(folder: Path, model: Path) -> None:
    code = "".join(b.code for b in BLOCKS if b.language == "sh" and b.runs)
    printed = run(["bash", "-euxo", "pipefail", "-c", code], folder, model)
    assert "Alice, by mail" in printed
    for sound in ("morning.wav", "morning.mp3", "letter.flac", "pipe.wav", "tom.wav", "hello.wav"):
        assert soundfile.info(folder / sound).samplerate == 16_000, sound
    assert [path.name for path in (folder / "home" / "voices").iterdir()] == ["alice.npz"]


def test_python_examples(folder: Path, model: Path) -> None:
    code = "".join(b.code for b in BLOCKS if b.language == "python" and b.runs)
    checks = """
assert codes.global_tokens.shape == (32,)
assert again.shape == (320 * len(codes.semantic_tokens),)
assert logits.shape == (1, len(tts.prompt("Hello.", alice)), tts.config.lm.vocab_size)
"""
    printed = run([sys.executable, "-c", code + checks], folder, model)
    assert "at 16000 Hz" in printed
    assert "gender='male'" in printed
    assert soundfile.info(folder / "tom.ogg").samplerate == 16_000


def test_every_command_has_an_example() -> None:
    nested = {name for name, one in subcommands(build_parser()).items() if subcommands(one)}
    shown = {tuple(line[: 2 if line[0] in nested else 1]) for line in commands()}
    expected: set[tuple[str, ...]] = set()
    for name, parser in subcommands(build_parser()).items():
        expected |= {(name, inner) for inner in subcommands(parser)} or {(name,)}
    assert shown == expected


@pytest.mark.parametrize("line", commands(), ids=" ".join)
def test_options_exist(line: list[str]) -> None:
    build_parser().parse_args(line)


def test_nothing_is_left_to_be_filled_in() -> None:
    assert "TODO" not in README


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_source_tree_names_every_folder() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(r"```text\n(spark_mlx/\n.*?)```", contributing, re.DOTALL)
    assert found is not None
    tree = found[1]
    for init in (ROOT / "spark_mlx").rglob("__init__.py"):
        assert f"{init.parent.name}/" in tree, init.parent
    for file in (ROOT / "spark_mlx").glob("*.py"):
        if not file.name.startswith("__") and file.name not in ("errors.py", "version.py"):
            assert file.name in tree, file
    for name in re.findall(r"\w+\.py\b", tree):
        assert list((ROOT / "spark_mlx").rglob(name)), name
