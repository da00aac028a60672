"""Qwen2 in torch, small, named as in the published checkpoint: ids (B, T) → hidden (B, T, C).

Attention is causal over whole sequences; there is no cache, since this is for training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sizes import LanguageModel


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self._eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.float(), x.shape[-1:], self.weight, self._eps).type_as(x)


def turns(length: int, dim: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, (length, dim)."""
    rates = base ** (-torch.arange(0, dim, 2, device=device) / dim)
    angles = torch.arange(length, device=device)[:, None] * rates
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotated(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """x: (B, heads, T, dim)."""
    low, high = x.chunk(2, dim=-1)
    cosine, sine = (part.to(x.dtype) for part in turn)
    return x * cosine + torch.cat([-high, low], dim=-1) * sine


class Attention(nn.Module):
    def __init__(self, sizes: LanguageModel) -> None:
        super().__init__()
        dim, self._heads = sizes.hidden_size, sizes.num_attention_heads
        self._head_dim, self._groups = dim // self._heads, sizes.num_key_value_heads
        narrow = self._groups * self._head_dim
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(dim, width) for width in (dim, narrow, narrow)
        )
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def split(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """x → queries (B, heads, T, dim), keys and values (B, groups, T, dim)."""
        queries, keys, values = (
            layer(x).view(*x.shape[:2], -1, self._head_dim).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        return rotated(queries, turn), rotated(keys, turn), values

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        queries, keys, values = self.split(x, turn)
        repeat = self._heads // self._groups
        keys, values = (y.repeat_interleave(repeat, dim=1) for y in (keys, values))
        y = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(x.shape))

    def first_head(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """Where the first head looks: (B, T, T)."""
        queries, keys, _ = self.split(x, turn)
        scores = queries[:, 0] @ keys[:, 0].transpose(1, 2) / math.sqrt(self._head_dim)
        hidden = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
        return scores.float().masked_fill(hidden, -math.inf).softmax(-1)


class FeedForward(nn.Module):
    def __init__(self, sizes: LanguageModel) -> None:
        super().__init__()
        dim, wide = sizes.hidden_size, sizes.intermediate_size
        self.gate_proj = nn.Linear(dim, wide, bias=False)
        self.up_proj = nn.Linear(dim, wide, bias=False)
        self.down_proj = nn.Linear(wide, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, sizes: LanguageModel) -> None:
        super().__init__()
        self.self_attn = Attention(sizes)
        self.mlp = FeedForward(sizes)
        self.input_layernorm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn)
        return x + self.mlp(self.post_attention_layernorm(x))


class Qwen2(nn.Module):
    """The output head is the embedding."""

    def __init__(self, sizes: LanguageModel, vocabulary: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.embed_tokens = nn.Embedding(vocabulary, sizes.hidden_size)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.num_hidden_layers))
        self.norm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                # What each layer adds begins smaller the more layers there are (GPT-2).
                into = name.endswith(("o_proj.weight", "down_proj.weight"))
                share = 1 / math.sqrt(2 * sizes.num_hidden_layers) if into else 1.0
                nn.init.normal_(parameter, std=share * sizes.hidden_size**-0.5)

    def guided(self) -> range:
        """The layers that are shown the way: two, after those that see what letters stand for."""
        first = self.sizes.num_hidden_layers // 3
        return range(first, min(first + 2, self.sizes.num_hidden_layers))

    def forward(self, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        """→ hidden states (B, T, C), and where each guided layer's first head looks (B, T, T)."""
        dim = self.sizes.hidden_size // self.sizes.num_attention_heads
        turn = turns(ids.shape[1], dim, self.sizes.rope_theta, ids.device)
        x, looks = self.embed_tokens(ids), []
        for i, layer in enumerate(self.layers):
            if i in self.guided():
                looks.append(layer.self_attn.first_head(layer.input_layernorm(x), turn))
            x = layer(x, turn)
        return self.norm(x), looks
