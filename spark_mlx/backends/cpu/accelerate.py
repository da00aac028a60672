"""Replace layers of a plain model, from outside, by those that a CPU computes fast."""

from __future__ import annotations

import mlx.nn as nn
from mlx.utils import tree_map, tree_unflatten

from spark_mlx.backends.cpu.activations import CPUGELU, CPUSiLU, CPUSnake
from spark_mlx.backends.cpu.attention import CPUAttention, RotaryTables
from spark_mlx.backends.cpu.conv import CPUConv1d, CPUConvTranspose1d, CPUResidualUnit
from spark_mlx.backends.cpu.fit import FromPlain
from spark_mlx.model import layers
from spark_mlx.model.bicodec.wave_generator import ResidualUnit

_LEAVES: dict[type[nn.Module], type[FromPlain]] = {
    layers.Conv1d: CPUConv1d,
    layers.ConvTranspose1d: CPUConvTranspose1d,
    layers.GELU: CPUGELU,
    layers.SiLU: CPUSiLU,
    layers.Snake: CPUSnake,
    layers.RotaryEmbedding: RotaryTables,
    layers.ScaledDotProductAttention: CPUAttention,
}


def accelerate(module: nn.Module) -> None:
    """Fit the layers of a model to the CPU, in place; its parameters keep their names."""

    def fitted(layer: nn.Module) -> nn.Module:
        replacement = _LEAVES.get(type(layer))
        return layer if replacement is None else replacement.from_plain(layer)

    module.update_modules(tree_map(fitted, module.leaf_modules(), is_leaf=nn.Module.is_module))
    # Not leaves, so after those within them.
    for name, unit in module.named_modules():
        if type(unit) is ResidualUnit:
            module.update_modules(tree_unflatten([(name, CPUResidualUnit.from_plain(unit))]))
