"""The examples of README.md and docs/ run, and docs/cli.md is what `--help` says.

Blocks of sh and python run page by page in the order they stand in, in one folder a page, with the
tiny model as the default one; what a block writes is there for the next. The Python blocks of a
page are one program. A comment `<!-- not run: reason -->` before a block excepts it.
"""

from __future__ import annotations

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

import help_tables
from conftest import REFERENCE, ROOT
from help_tables import PAGE, options, parsers, written_anew
from spark_mlx.cli.parser import build_parser

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    code: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    return [
        Block(found["language"], found["code"], found["reason"] is None)
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def code(page: Path, language: str) -> str:
    """Everything that runs of a page in one language."""
    return "".join(b.code for b in blocks(page) if b.language == language and b.runs)


def with_code(language: str) -> list[Path]:
    return [page for page in PAGES if code(page, language)]


def commands() -> list[list[str]]:
    """The arguments of every `spark-mlx` in the shell blocks, also of those that are not run."""
    shell = [block.code for page in PAGES for block in blocks(page) if block.language == "sh"]
    parts = (part for text in shell for line in text.splitlines() for part in line.split(" | "))
    words = (shlex.split(part.partition(" > ")[0], comments=True) for part in parts)
    return [line[1:] for line in words if line and Path(line[0]).name == "spark-mlx"]


@pytest.fixture
def folder(model: Path, checkpoint: Path, tmp_path: Path) -> Path:
    """A folder with what the examples mention."""
    shutil.copy(REFERENCE / "short.wav", tmp_path / "alice.wav")
    (tmp_path / "letter.txt").write_text("Dear Tom.\n\nYours, Alice.\n", encoding="utf-8")
    (tmp_path / "Spark-TTS-0.5B").symlink_to(checkpoint)
    return tmp_path


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


def sounds(folder: Path) -> set[str]:
    """The sound files that examples wrote, each looked into."""
    found = {path for path in folder.iterdir() if path.suffix in (".wav", ".mp3", ".flac", ".ogg")}
    for path in found:
        assert soundfile.info(path).samplerate == 16_000 or path.name == "alice.wav"
        assert soundfile.info(path).frames > 0, path.name
    return {path.name for path in found} - {"alice.wav"}


# The examples.

# What the Python blocks of a page write.
EXPECTED_SOUNDS = {"README": {"tom.wav"}, "python": {"hello.wav", "tom.ogg"}}


@pytest.mark.parametrize("page", with_code("sh"), ids=lambda page: page.stem)
def test_shell_examples(page: Path, folder: Path, model: Path) -> None:
    printed = run(["bash", "-euxo", "pipefail", "-c", code(page, "sh")], folder, model)
    assert sounds(folder)
    if page.stem == "cli":
        assert "Alice, by mail" in printed
        assert {"morning.wav", "morning.mp3", "letter.flac", "pipe.wav"} < sounds(folder)
        assert [path.name for path in (folder / "home" / "voices").iterdir()] == ["alice.npz"]


@pytest.mark.parametrize("page", with_code("python"), ids=lambda page: page.stem)
def test_python_examples(page: Path, folder: Path, model: Path) -> None:
    checks = {
        "python": """
assert codes.global_tokens.shape == (32,)
assert again.shape == (320 * len(codes.semantic_tokens),)
assert logits.shape == (1, len(tts.prompt("Hello.", alice)), tts.config.lm.vocab_size)
"""
    }.get(page.stem, "")
    run([sys.executable, "-c", code(page, "python") + checks], folder, model)
    assert sounds(folder) == EXPECTED_SOUNDS.get(page.stem, set())


def test_every_command_has_an_example() -> None:
    named = {" ".join(["spark-mlx", *line[:size]]) for line in commands() for size in (1, 2)}
    assert set(parsers()) - {"spark-mlx"} <= named


@pytest.mark.parametrize("line", commands(), ids=" ".join)
def test_options_exist(line: list[str]) -> None:
    build_parser().parse_args(line)


# docs/cli.md against `--help`.


def sections() -> dict[str, str]:
    """The sections of docs/cli.md by the command that their heading names."""
    head, *others = re.split(r"^## (.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {
        f"spark-mlx {name}": text for name, text in zip(others[::2], others[1::2], strict=True)
    }
    return {"spark-mlx": head, **{name: found[name] for name in found if name in parsers()}}


def test_every_command_has_its_section() -> None:
    assert set(sections()) == set(parsers())
    for name, text in sections().items():
        assert f"<!-- options of {name} -->" in text


def test_tables_quote_the_help_texts() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written_anew(page) == page, (
        "the options changed; write the tables anew: make help-tables"
    )


def test_tables_hold_every_option() -> None:
    for name, text in sections().items():
        for option in options(parsers()[name]) - {"-h", "--help"}:
            assert f"`{option}`" in text, f"{name} {option}"


def test_documented_options_exist() -> None:
    everywhere = {"-h", "--help"} | options(parsers()["spark-mlx"])
    for name, text in sections().items():
        known = everywhere.union(*(options(parsers()[other]) for other in _mentioned(name, text)))
        for quoted in re.findall(
            r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        ):
            for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", quoted):
                assert option in known, f"{name}: `{quoted}`"


def _mentioned(name: str, text: str) -> list[str]:
    """The command of a section, and others that the section's prose quotes."""
    return [name, *(other for other in parsers() if f"`{other.removeprefix('spark-mlx ')}" in text)]


def test_the_tables_follow_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = build_parser()
    parser.add_argument("--colour", help="what | nobody asked for")
    monkeypatch.setattr(help_tables, "build_parser", lambda: parser)
    assert "| `--colour` `COLOUR` | what \\| nobody asked for |" in written_anew(PAGE.read_text())


# The pages themselves.


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    assert not re.search(r"TODO|FIXME|TBD", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        other = page.parent / path if path else page
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_named_in_prose_exist(page: Path) -> None:
    """Paths of this repository, such as `examples/audiobook.py`, are there."""
    tops = "benchmarks|convert|docs|examples|spark_mlx|tests|training|voices"
    for path in re.findall(rf"`((?:{tops})/[\w./-]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


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
