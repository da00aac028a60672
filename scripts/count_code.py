"""Count what a reader of the code meets: entries, lines, and the way from a text to samples.

    python scripts/count_code.py            this tree
    python scripts/count_code.py OTHER      another one of the same layout

A line counts when it holds code: no blank lines, comments or docstrings. The inference path is the
modules in which code runs while a loaded model says two sentences by plain MLX, and the lines that
ran then.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path

IGNORED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
PARTS = ("spark_mlx", "convert", "voices")
DEVICE_CHECKS = re.compile(r"\b(cpu|ops|native)\.in_use\(\)|\bcpu\.\w*device\w*\(\)")
TRACE = """
import json, sys, threading
from pathlib import Path
import spark_mlx
from spark_mlx import voices
tts = spark_mlx.load(sys.argv[1])
voice = voices.find("ada")
tts.say("Warm.", voice=voice)
seen = {}
def watch(frame, event, argument):
    file = frame.f_code.co_filename
    if "spark_mlx" not in file and "voices" not in file:
        return None
    if event in ("call", "line"):
        seen.setdefault(str(Path(file).resolve()), set()).add(frame.f_lineno)
    return watch
threading.settrace(watch)
sys.settrace(watch)
tts.say("It costs $5. See you at 9:05.", voice=voice)
sys.settrace(None)
print(json.dumps({file: len(lines) for file, lines in seen.items()}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", nargs="?", type=Path, default=Path(__file__).resolve().parents[1])
    tree = parser.parse_args().tree.resolve()
    python = sorted(file for part in PARTS for file in (tree / part).rglob("*.py"))
    sources = sorted((tree / "spark_mlx").rglob("*.[ch]"))
    outside = [f for f in python if "backends" not in f.parts and f.name not in ("cpu.py",)]
    checks = sum(len(DEVICE_CHECKS.findall(file.read_text())) for file in outside)
    path = inference_path(tree)
    print(f"entries at the top of spark_mlx/     {len(entries(tree)):6}")
    print(f"lines of the package, Python         {sum(map(code_lines, python)):6}")
    print(f"  longest file                       {max(map(code_lines, python)):6}")
    print(f"lines of the package, C              {sum(map(c_lines, sources)):6}")
    print(f"checks for the device outside        {checks:6}")
    print(f"lines of the inference path's files  {sum(map(code_lines, path)):6}")
    print(f"  of which run                       {sum(path.values()):6}")
    for file, run in path.items():
        print(f"  {code_lines(file):5} {run:5} {file.relative_to(tree)}")


def entries(tree: Path) -> set[str]:
    """The names at the top of the package that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "spark_mlx"], cwd=tree, capture_output=True, text=True, check=True
    )
    return {line.split("/")[1] for line in listed.stdout.splitlines()}


def code_lines(file: Path) -> int:
    """The lines of a Python file that hold code."""
    text = file.read_text(encoding="utf-8")
    lines = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in IGNORED
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def c_lines(file: Path) -> int:
    """The lines of a C file that hold code."""
    text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return sum(1 for line in text.splitlines() if re.sub(r"//.*", "", line).strip())


def inference_path(tree: Path) -> dict[Path, int]:
    """The modules that take part in saying a text by plain MLX, and how many lines ran of each."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "spark_mlx"
        package.mkdir()
        for entry in [*(tree / "spark_mlx").iterdir(), tree / "convert", tree / "voices"]:
            (package / entry.name).symlink_to(entry)
        done = subprocess.run(
            [sys.executable, "-c", TRACE, str(tree / "spark_mlx" / "nano")],
            cwd=folder,
            env={**os.environ, "SPARK_MLX_BACKEND": "mlx"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        run = {Path(file): count for file, count in json.loads(done.stdout).items()}
    return {file: run[file] for file in sorted(run) if file.is_relative_to(tree)}


if __name__ == "__main__":
    main()
