"""How large nano is: the published architecture's settings, small enough for a CPU.

`NANO` is what ships and `TINY` the same with next to no width, for tests. The sections and names
are those of the published configuration files, which `export.py` writes from them.
"""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Listener:
    """wav2vec2 as far as it is used, and the feature encoder behind it."""

    conv_dim: tuple[int, ...]
    conv_kernel: tuple[int, ...]
    conv_stride: tuple[int, ...]
    hidden_size: int
    intermediate_size: int
    layers: int
    num_attention_heads: int
    num_conv_pos_embeddings: int
    num_conv_pos_embedding_groups: int
    vocos_dim: int
    vocos_intermediate_dim: int
    vocos_num_layers: int


@dataclasses.dataclass(frozen=True)
class Voice:
    """The speaker encoder: mel → global tokens → the speaker vector of `out_dim`."""

    input_dim: int
    out_dim: int
    latent_dim: int
    token_num: int
    fsq_levels: tuple[int, ...]
    ecapa_channels: int
    ecapa_bottleneck: int
    ecapa_features: int
    perceiver_depth: int
    perceiver_heads: int
    perceiver_head_dim: int
    perceiver_ff_mult: int

    @property
    def codes(self) -> int:
        return math.prod(self.fsq_levels)


@dataclasses.dataclass(frozen=True)
class Speaking:
    """The prenet and the wave generator."""

    vocos_dim: int
    vocos_intermediate_dim: int
    vocos_num_layers: int
    out_channels: int
    channels: int
    rates: tuple[int, ...]
    kernel_sizes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6


@dataclasses.dataclass(frozen=True)
class Sizes:
    """
    Attributes:
        width: of the latents between the encoder, the quantiser and the prenet.
        codebook_size, codebook_dim: of the semantic tokens.
        reference_seconds: how much of a clip the speaker encoder hears.
    """

    listener: Listener
    voice: Voice
    speaking: Speaking
    lm: LanguageModel
    width: int = 128
    codebook_size: int = 8192
    codebook_dim: int = 8
    reference_seconds: int = 3
    sample_rate: int = 16_000
    hop: int = 320


NANO = Sizes(
    Listener(
        conv_dim=(32, 48, 64, 64, 64, 64, 96),
        conv_kernel=(10, 3, 3, 3, 3, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2),
        hidden_size=128,
        intermediate_size=384,
        layers=4,
        num_attention_heads=4,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
        vocos_dim=128,
        vocos_intermediate_dim=384,
        vocos_num_layers=2,
    ),
    # 256 codes for a global token, not 4096: 16 of them hold 128 bits, more than enough for the
    # voices here, and the language model sees each code often enough to learn it.
    Voice(
        input_dim=80,
        out_dim=128,
        latent_dim=64,
        token_num=16,
        fsq_levels=(4, 4, 4, 4),
        ecapa_channels=128,
        ecapa_bottleneck=32,
        ecapa_features=256,
        perceiver_depth=2,
        perceiver_heads=4,
        perceiver_head_dim=32,
        perceiver_ff_mult=4,
    ),
    Speaking(
        vocos_dim=128,
        vocos_intermediate_dim=384,
        vocos_num_layers=6,
        out_channels=128,
        channels=256,
        rates=(4, 4, 5, 4),
        kernel_sizes=(8, 8, 11, 8),
    ),
    LanguageModel(
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
)

TINY = Sizes(
    Listener(
        conv_dim=(16,) * 7,
        conv_kernel=(10, 3, 3, 3, 3, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2),
        hidden_size=16,
        intermediate_size=32,
        layers=1,
        num_attention_heads=2,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        vocos_dim=16,
        vocos_intermediate_dim=32,
        vocos_num_layers=1,
    ),
    Voice(80, 16, 16, 4, (4, 4, 4, 4), 16, 8, 24, 1, 2, 8, 4),
    Speaking(16, 32, 1, 16, 32, (4, 4, 5, 4), (8, 8, 11, 8)),
    LanguageModel(32, 64, 2, 2, 1),
    width=16,
    codebook_size=64,
    reference_seconds=1,
)

# Which texts the model speaks, in the settings of a model folder: characters of a piece, whether a
# piece holds one sentence only, and the languages. It learns from single English sentences.
TEXTS = {"longest_piece": 120, "single_sentences": True, "languages": ["en"]}
