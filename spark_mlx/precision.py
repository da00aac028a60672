"""In what numbers the language model is stored and computed.

float32 is the reference. bfloat16 halves the memory and is what a GPU is fastest in; float16
overflows in this model. Quantised layers keep 8 or 4 bits a weight and, for each group of 64, a
scale and a bias.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from spark_mlx import cpu
from spark_mlx.errors import ConfigError
from spark_mlx.lm import Qwen2

DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16}
GROUP_SIZE = 64


def quantize(lm: Qwen2, bits: int) -> None:
    """Turns the linear layers and the embedding into `bits`-bit ones, in place.

    A layer whose rows do not divide into groups stays as it is.
    """

    def fits(_: str, module: nn.Module) -> bool:
        return hasattr(module, "to_quantized") and module.weight.shape[-1] % GROUP_SIZE == 0

    nn.quantize(lm, group_size=GROUP_SIZE, bits=bits, class_predicate=fits)


def settle(lm: Qwen2, dtype: str | None = None) -> None:
    """Brings a loaded model into what this device computes fastest, in place.

    On a CPU, MLX multiplies quantised weights some six times slower than OpenBLAS multiplies
    float32 ones, so they are unpacked once; the embedding, of which a step reads a single row,
    stays packed.

    Args:
        dtype: "float32" or "bfloat16"; None for bfloat16 on a GPU and float32 on a CPU.
    """
    if dtype is None:
        dtype = "float32" if cpu.in_use() else "bfloat16"
    if dtype not in DTYPES:
        raise ConfigError(f"the model computes in {' or '.join(DTYPES)}, not {dtype}")
    lm.set_dtype(DTYPES[dtype])
    if cpu.in_use():
        packed = [
            (name, module)
            for name, module in lm.named_modules()
            if isinstance(module, nn.QuantizedLinear)
        ]
        # One by one, so that both forms of all of them are never in memory.
        for name, module in packed:
            lm.update_modules(tree_unflatten([(name, _unpacked(module))]))
    lm.eval()


def describe(lm: Qwen2) -> str:
    """What the linear layers compute in, for `doctor`."""
    layer = lm.layers[0].mlp.gate_proj
    if isinstance(layer, nn.QuantizedLinear):
        return f"{layer.bits} bit"
    return str(layer.weight.dtype).removeprefix("mlx.core.")


def _unpacked(module: nn.QuantizedLinear) -> nn.Linear:
    weight = mx.dequantize(
        module.weight, module.scales, module.biases, module.group_size, module.bits
    )
    mx.eval(weight)
    linear = nn.Linear(*reversed(weight.shape), bias="bias" in module)
    linear.weight = weight
    if "bias" in module:
        linear.bias = module.bias
    return linear
