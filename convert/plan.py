"""What a conversion will do, checked in full before a single number is read.

The parameters of the runtime's own modules say what is needed; names and layout say where it comes
from. Every tensor of the checkpoint must be used or known to be of no use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.quantization import GROUP_SIZE, quantize
from spark_mlx.checkpoints.weights import abridged
from spark_mlx.convert import layout, names
from spark_mlx.convert.source import Source
from spark_mlx.convert.writer import TensorSpec
from spark_mlx.errors import ModelError
from spark_mlx.model.bicodec.bicodec import BiCodec
from spark_mlx.model.bicodec.semantic_encoder import SemanticEncoder
from spark_mlx.model.qwen2 import Qwen2

Shape = tuple[int, ...]
Tensor = mx.array | np.ndarray

# Weight norm's two tensors, as torch named them before and since version 2.0.
_WEIGHT_NORM = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)


@dataclass(frozen=True)
class Step:
    """Some tensors of the checkpoint → one or, when quantised, three tensors of ours."""

    source: Source
    inputs: tuple[str, ...]
    outputs: tuple[TensorSpec, ...]
    make: Callable[..., tuple[Tensor, ...]]

    def run(self) -> tuple[Tensor, ...]:
        """Reads the inputs as float32 and computes the outputs."""
        return self.make(*(self.source.read(name) for name in self.inputs))


@dataclass
class Plan:
    """
    Attributes:
        files: name of one of our files → its steps, in the order of writing.
        used: how many tensors of the checkpoint are taken.
        changed: what was done to some of them → how often.
        dropped: what it is → (tensors, numbers) that are left out.
    """

    files: dict[str, list[Step]] = field(default_factory=dict)
    used: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, tuple[int, int]] = field(default_factory=dict)


def make_plan(config: ModelConfig, sources: Mapping[str, Source]) -> Plan:
    """Plans all three files; `sources` holds the checkpoint's weight files by folder.

    Raises:
        ModelError: a tensor is missing, unexpected or misshapen; up to five are named.
    """
    plan = Plan()
    used: dict[str, set[str]] = {folder: set() for folder in sources}
    for file, module in skeletons(config).items():
        planner = _Planner(file, module, config, sources, plan.changed)
        plan.files[file] = planner.steps()
        planner.complain()
        for step in plan.files[file]:
            folder = next(name for name, source in sources.items() if source is step.source)
            used[folder].update(step.inputs)
    for folder, source in sources.items():
        _sort_out(folder, source, used[folder], config, plan)
    plan.used = sum(map(len, used.values()))
    return plan


def skeletons(config: ModelConfig) -> dict[str, nn.Module]:
    """The runtime's modules by their file: names and shapes, nothing evaluated."""
    lm = Qwen2(config.lm)
    if config.quantize is not None:
        quantize(lm, config.quantize)
    listener = SemanticEncoder(config.wav2vec2, config.encoder, config.quantizer)
    modules = (lm, BiCodec(config.bicodec), listener)
    return dict(zip(names.RULES, modules, strict=True))


def _sort_out(folder: str, source: Source, used: set[str], config: ModelConfig, plan: Plan) -> None:
    """Counts what is dropped, and refuses what nobody knows."""
    unexpected = []
    for name in source.records.keys() - used:
        purpose = names.why_unused(folder, name, config)
        if purpose is None:
            unexpected.append(name)
            continue
        tensors, numbers = plan.dropped.get(purpose, (0, 0))
        size = int(np.prod(source.records[name].shape))
        plan.dropped[purpose] = tensors + 1, numbers + size
    if unexpected:
        raise ModelError(
            f"{source.path} holds tensors that this model has no use for: "
            f"{abridged(sorted(unexpected))}; it does not fit its configuration"
        )


class _Planner:
    """Plans one file, and notes what is missing or misshapen."""

    def __init__(
        self,
        file: str,
        module: nn.Module,
        config: ModelConfig,
        sources: Mapping[str, Source],
        changed: Counter[str],
    ) -> None:
        self._file = file
        self._module = module
        self._sources = sources
        self._changed = changed
        # The codec stays in float32: its codes are decisions that rounding would change.
        lowered = file == "lm.safetensors" and config.dtype == "bfloat16"
        self._dtype = mx.bfloat16 if lowered else mx.float32
        self._missing: list[str] = []
        self._misshapen: list[str] = []

    def steps(self) -> list[Step]:
        owners = dict(self._module.named_modules())
        steps = []
        parameters: list[tuple[str, mx.array]] = tree_flatten(self._module.parameters())
        for parameter, array in parameters:
            path, _, leaf = parameter.rpartition(".")
            owner = owners[path]
            quantised = isinstance(owner, nn.QuantizedLinear | nn.QuantizedEmbedding)
            if quantised and leaf in ("scales", "biases"):
                continue  # made along with the weight
            folder, upstream = names.upstream_name(self._file, parameter)
            source = self._sources[folder]
            if layout.is_batch_norm(owner):
                steps.append(self._batch_norm(source, parameter, upstream, leaf, array.shape))
            elif quantised and leaf == "weight":
                steps.append(self._quantised(source, parameter, upstream, owner))
            else:
                steps.append(self._plain(source, parameter, upstream, owner, leaf, array.shape))
        return steps

    def complain(self) -> None:
        if self._missing:
            raise ModelError(
                f"the checkpoint lacks tensors for {self._file}: {abridged(self._missing)}"
            )
        if self._misshapen:
            raise ModelError(f"the checkpoint is misshapen: {abridged(self._misshapen)}")

    def _plain(
        self,
        source: Source,
        parameter: str,
        upstream: str,
        owner: nn.Module,
        leaf: str,
        shape: Shape,
    ) -> Step:
        """A tensor as it is, or folded from weight norm's pair; axes moved."""
        pointwise = ".in_project." in upstream or ".out_project." in upstream
        expected = layout.torch_shape(owner, leaf, tuple(shape), pointwise)
        inputs = self._inputs(source, upstream, expected)
        axis = layout.weight_norm_axis(upstream)

        def make(x: np.ndarray, direction: np.ndarray | None = None) -> tuple[Tensor, ...]:
            if direction is not None:
                x = layout.fold_weight_norm(x, direction, axis)
            x = layout.from_torch(owner, leaf, x, pointwise)
            return (x if self._dtype == mx.float32 else mx.array(x).astype(self._dtype),)

        return Step(source, inputs, (TensorSpec(parameter, self._dtype, shape),), make)

    def _inputs(self, source: Source, upstream: str, shape: Shape) -> tuple[str, ...]:
        """The tensor called `upstream`, or weight norm's gain and direction in its place."""
        base = upstream.removesuffix("weight")
        for pair in _WEIGHT_NORM:
            gain, direction = (base + leaf for leaf in pair)
            if base == upstream or source.records.keys().isdisjoint((gain, direction)):
                continue
            axis = layout.weight_norm_axis(upstream)
            self._expect(source, gain, tuple(n if i == axis else 1 for i, n in enumerate(shape)))
            self._expect(source, direction, shape)
            self._changed["weight norms folded"] += 1
            return gain, direction
        self._expect(source, upstream, shape)
        return (upstream,)

    def _batch_norm(
        self, source: Source, parameter: str, upstream: str, leaf: str, shape: Shape
    ) -> Step:
        """A batch norm's scale or shift."""
        base = upstream.removesuffix(leaf)
        inputs = tuple(base + name for name in layout.batch_norm_inputs(leaf))
        if leaf == "shift":  # its inputs are those of the scale and two more
            for name in inputs:
                self._expect(source, name, shape)
            self._changed["batch norms folded"] += 1
        spec = TensorSpec(parameter, mx.float32, shape)
        return Step(source, inputs, (spec,), lambda *arrays: (layout.fold_batch_norm(*arrays),))

    def _quantised(self, source: Source, parameter: str, upstream: str, owner: nn.Module) -> Step:
        """A weight → packed weight, scales and biases."""
        bits, dtype = owner.bits, self._dtype
        rows, packed = owner.weight.shape
        self._expect(source, upstream, (rows, packed * 32 // bits))
        self._changed["weights quantised"] += 1
        base = parameter.removesuffix("weight")
        outputs = (
            TensorSpec(parameter, mx.uint32, owner.weight.shape),
            TensorSpec(base + "scales", dtype, owner.scales.shape),
            TensorSpec(base + "biases", dtype, owner.biases.shape),
        )

        def make(x: np.ndarray) -> tuple[Tensor, ...]:
            return tuple(mx.quantize(mx.array(x).astype(dtype), GROUP_SIZE, bits))

        return Step(source, (upstream,), outputs, make)

    def _expect(self, source: Source, name: str, shape: Shape) -> None:
        record = source.records.get(name)
        if record is None:
            self._missing.append(name)
        elif record.shape != tuple(shape):
            self._misshapen.append(f"{name} has shape {record.shape} and should have {shape}")
