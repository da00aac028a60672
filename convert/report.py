"""What a conversion did, for the person who ran it, and the card it leaves in the model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.version import __version__


@dataclass(frozen=True)
class Report:
    """
    Attributes:
        destination: the model folder.
        used: how many tensors of the checkpoint were taken.
        changed: what was done to some of them → how often.
        dropped: what it is → (tensors, numbers) that were left out.
        sizes: file of the model folder → bytes.
    """

    destination: Path
    used: int
    changed: Mapping[str, int]
    dropped: Mapping[str, tuple[int, int]]
    sizes: Mapping[str, int]

    def lines(self) -> list[str]:
        """The report as lines of text."""
        lines = [f"used     {self.used} tensors"]
        lines += [f"changed  {count} {kind}" for kind, count in sorted(self.changed.items())]
        lines += [
            f"dropped  {tensors} tensors, {numbers / 1e6:.1f} M numbers: {purpose}"
            for purpose, (tensors, numbers) in sorted(self.dropped.items())
        ]
        lines += [f"wrote    {size / 1e6:8.1f} MB  {name}" for name, size in self.sizes.items()]
        return [*lines, f"The model is in {self.destination}"]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def card(config: ModelConfig) -> str:
    """The README.md of a model folder."""
    lm = config.dtype
    if config.quantize is not None:
        lm = f"{config.quantize} bits a weight (groups of 64), the rest {config.dtype}"
    return f"""\
# A Spark-TTS model for spark-mlx

Converted by spark-mlx {__version__} (model format {config.format_version}) from a checkpoint in the
layout of SparkAudio/Spark-TTS-0.5B.

| file | what it is |
|---|---|
| `lm.safetensors` | the language model, {lm} |
| `codec.safetensors` | all it takes to speak, and to clone without a transcript, float32 |
| `encoder.safetensors` | opened only to clone with a transcript, float32 |
| `tokenizer.json`, `config.json` | the vocabulary; every size and setting |

Converted from the weights with these SHA-256 sums:

| part | SHA-256 |
|---|---|
| language model | `{config.fingerprint.lm}` |
| codec | `{config.fingerprint.codec}` |
| wav2vec2 | `{config.fingerprint.wav2vec2}` |

## Licence

The published weights of Spark-TTS-0.5B, and so this conversion of them, are licensed under
[CC BY-NC-SA 4.0](https://creativecommons.org/licenses/by-nc-sa/4.0/): give credit, no commercial
use, share under the same terms. If the checkpoint was another one, its own licence applies.

Clone a voice only with the consent of the person it belongs to.
"""
