"""`spark-mlx doctor`: check versions, device, numbers, model, voices and sound."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import platform
import sys
from typing import Any

import mlx.core as mx

from spark_mlx.audio.playback import portaudio
from spark_mlx.backends.cpu import native
from spark_mlx.checkpoints import hub
from spark_mlx.cli import voice
from spark_mlx.cli.models import load_model
from spark_mlx.cli.printing import visible
from spark_mlx.diagnostics import selfcheck, system_info
from spark_mlx.errors import PlaybackError, SparkError
from spark_mlx.version import __version__

PACKAGES = ("mlx", "numpy", "safetensors", "tokenizers", "soundfile", "soxr", "huggingface_hub")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report; a finding that is not `ok` carries its remedy in `detail`."""

    topic: str
    ok: bool
    detail: str
    data: dict[str, Any] = dataclasses.field(default_factory=dict)  # for `--json` only


def doctor(args: argparse.Namespace) -> int:
    findings = [_versions(), _device(), _numbers(), _model(args), _voices(), _sound()]
    if args.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        for finding in findings:
            line = f"{'ok' if finding.ok else '!!':<3}{finding.topic + ':':<10}{finding.detail}"
            print(visible(line))
    return 0 if all(finding.ok for finding in findings) else 1


def _versions() -> Finding:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    data = dataclasses.asdict(system_info.machine())
    return Finding("versions", True, f"spark-mlx {__version__}, {python}, {versions}", data)


def _device() -> Finding:
    backends = system_info.backends()
    if len(backends) > 1:
        both = " ".join(backends)
        remedy = f"pip uninstall {both} mlx, then install spark-mlx or spark-mlx[cuda] again"
        return Finding("device", False, f"{both} are installed, each over the other; {remedy}")
    device = mx.default_device()
    if device.type == mx.gpu:
        kind = "Metal" if mx.metal.is_available() else "CUDA"
        return Finding("device", True, f"{kind} GPU")
    if sys.platform == "darwin":
        return Finding("device", False, "CPU only: this MLX found no Metal GPU, so speech is slow")
    native.start()
    detail = f"CPU, matrix products by {native.status}"
    if native.remedy is not None:
        return Finding("device", False, f"{detail}; {native.remedy}")
    return Finding("device", True, detail)


def _numbers() -> Finding:
    checks = selfcheck.run()
    worst = max(checks, key=lambda check: check.difference)
    detail = f"{len(checks)} stages compared, worst is {worst.name} by {worst.difference:.1e}"
    data = {check.name: check.difference for check in checks}
    if worst.passed:
        return Finding("numbers", True, detail, data)
    wrong = f"{detail}: this device computes something else; report it"
    return Finding("numbers", False, wrong, data)


def _model(args: argparse.Namespace) -> Finding:
    try:
        folder = hub.resolve(args.model)
        tts = load_model(args)
    except SparkError as error:
        return Finding("model", False, str(error))
    stored = f"{tts.config.quantize} bit" if tts.config.quantize else tts.config.dtype
    computed = f"{tts.lm.computes_in}, {tts.backend.name} backend"
    return Finding("model", True, f"{folder}, stored in {stored}, computes in {computed}")


def _voices() -> Finding:
    rows = voice.table()
    bad = [f"{row.name} ({row.remark})" for row in rows if not row.origin]
    if bad:
        return Finding("voices", False, f"{', '.join(bad)}; make them again, or update spark-mlx")
    names = (f"{r.name} ({r.remark})" if "another model" in r.remark else r.name for r in rows)
    return Finding("voices", True, ", ".join(names) or "none saved yet")


def _sound() -> Finding:
    try:
        devices = portaudio.devices()
    except PlaybackError as error:
        return Finding("sound", False, str(error))
    if not devices:
        return Finding("sound", False, "no output device; files can still be written with -o")
    return Finding("sound", True, ", ".join(device.name for device in devices))
