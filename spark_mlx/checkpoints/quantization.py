"""In what numbers the language model is stored and computed.

float32 is the reference. bfloat16 halves the memory and is what a GPU is fastest in; float16
overflows in this model. Quantised layers keep 8 or 4 bits a weight and, for each group of 64, a
scale and a bias.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.errors import ConfigError
from spark_mlx.model.qwen2 import Qwen2

DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16}
GROUP_SIZE = 64


def quantize(lm: Qwen2, bits: int) -> None:
    """Turns the linear layers and the embedding into `bits`-bit ones, in place.

    A layer whose rows do not divide into groups stays as it is.
    """

    def fits(_: str, module: nn.Module) -> bool:
        return hasattr(module, "to_quantized") and module.weight.shape[-1] % GROUP_SIZE == 0

    nn.quantize(lm, group_size=GROUP_SIZE, bits=bits, class_predicate=fits)


def convert_dtype(lm: Qwen2, dtype: str) -> None:
    """Make a model compute in `dtype`, in place; nothing is evaluated.

    Raises:
        ConfigError: the model does not compute in it.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"the model computes in {' or '.join(DTYPES)}, not {dtype}")
    lm.set_dtype(DTYPES[dtype])
