"""In what numbers the language model is stored and computed.

float32 is the reference. bfloat16 halves the memory and is what a GPU is fastest in; float16
overflows in this model. Quantised layers keep 8 or 4 bits a weight and, for each group of 64, a
scale and a bias.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from spark_mlx.backends.cpu import ops
from spark_mlx.backends.cpu.qwen2 import NativeQwen2, obstacle
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


def settle(lm: Qwen2, dtype: str | None = None) -> Qwen2:
    """Brings a loaded model into what this device computes fastest.

    On a CPU the native extension takes its weights over, in the bits that they have. Where it
    cannot, quantised layers are unpacked once: MLX multiplies with them some six times slower than
    OpenBLAS with float32 ones. The embedding, of which a step reads a single row, stays packed.

    Args:
        lm: the model, which is not to be used any more.
        dtype: "float32" or "bfloat16"; None for bfloat16 on a GPU and float32 on a CPU.
    """
    if dtype is None:
        dtype = "float32" if ops.in_use() else "bfloat16"
    if dtype not in DTYPES:
        raise ConfigError(f"the model computes in {' or '.join(DTYPES)}, not {dtype}")
    lm.set_dtype(DTYPES[dtype])
    lm.eval()
    if not ops.in_use():
        return lm
    if _obstacle(lm) is None:
        return NativeQwen2(lm)
    packed = [
        (name, module)
        for name, module in lm.named_modules()
        if isinstance(module, nn.QuantizedLinear)
    ]
    # One by one, so that both forms of all of them are never in memory.
    for name, module in packed:
        lm.update_modules(tree_unflatten([(name, _unpacked(module))]))
    return lm


def describe(lm: Qwen2) -> str:
    """What the layers compute with, and on a CPU by what and why, for `doctor`."""
    if isinstance(lm, NativeQwen2):
        return f"{_bits(lm.bits)}, by native code"
    layer = lm.layers[0].mlp.gate_proj
    quantized = isinstance(layer, nn.QuantizedLinear)
    weights = _bits(layer.bits) if quantized else str(layer.weight.dtype).rpartition(".")[2]
    reason = _obstacle(lm) if ops.in_use() else None
    return weights if reason is None else f"{weights}, by MLX, because {reason}"


def _obstacle(lm: Qwen2) -> str | None:
    """Why native code cannot compute the layers, if it cannot."""
    if lm.norm.weight.dtype != mx.float32:
        return "native code computes in float32 only"
    return obstacle(lm)


def _bits(bits: int) -> str:
    return "float32" if bits == 32 else f"{bits} bit"


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
