"""The part of wav2vec 2.0 that BiCodec listens through: samples (B, N) → features (B, T, C).

A convolutional front end (320 samples to a frame) and the transformer as far as the last hidden
state that is read; the features are the mean of a few hidden states. Only cloning with a transcript
needs this.

Source: `Wav2Vec2Model` of transformers, as `BiCodecTokenizer.extract_wav2vec2_features` calls it;
Baevski et al., "wav2vec 2.0" (2020), the variant with pre-norm layers.
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import mlx.nn as nn

from spark_mlx.model.config import Config
from spark_mlx.model.layers import GELU, Conv1d, ScaledDotProductAttention


@dataclasses.dataclass(frozen=True)
class Wav2Vec2Config(Config):
    """`mix_layers`: the hidden states whose mean is the output; 0 is the transformer's input."""

    conv_dim: tuple[int, ...]
    conv_kernel: tuple[int, ...]
    conv_stride: tuple[int, ...]
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_conv_pos_embeddings: int
    num_conv_pos_embedding_groups: int
    layer_norm_eps: float
    mix_layers: tuple[int, ...]


class ConvLayer(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.conv = Conv1d(in_channels, out_channels, kernel_size, stride=stride)
        # Its epsilon is torch's default: only the transformer's comes from the configuration.
        self.layer_norm = nn.LayerNorm(out_channels, eps=1e-5)
        self.activation = GELU()

    def __call__(self, x: mx.array) -> mx.array:
        return self.activation(self.layer_norm(self.conv(x)))


class FeatureExtractor(nn.Module):
    """samples (B, N, 1) → (B, T, conv_dim[-1])."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        widths = (1, *config.conv_dim)
        self.conv_layers = [
            ConvLayer(*sizes)
            for sizes in zip(
                widths[:-1], widths[1:], config.conv_kernel, config.conv_stride, strict=True
            )
        ]

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.conv_layers:
            x = layer(x)
        return x


class FeatureProjection(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)

    def __call__(self, x: mx.array) -> mx.array:
        return self.projection(self.layer_norm(x))


class PositionalConv(nn.Module):
    """Relative positions by a wide grouped convolution."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        kernel_size = config.num_conv_pos_embeddings
        self.conv = Conv1d(
            config.hidden_size,
            config.hidden_size,
            kernel_size,
            padding=kernel_size // 2,
            groups=config.num_conv_pos_embedding_groups,
        )
        self.activation = GELU()

    def __call__(self, x: mx.array) -> mx.array:
        # An even kernel gives one frame too many.
        return self.activation(self.conv(x)[:, : x.shape[1]])


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.attend = ScaledDotProductAttention(dim // heads)
        self._heads = heads

    def __call__(self, x: mx.array) -> mx.array:
        def split_heads(y: mx.array) -> mx.array:
            return y.reshape(*x.shape[:2], self._heads, -1).transpose(0, 2, 1, 3)

        out = self.attend(
            split_heads(self.q_proj(x)), split_heads(self.k_proj(x)), split_heads(self.v_proj(x))
        )
        return self.out_proj(out.transpose(0, 2, 1, 3).reshape(x.shape))


class FeedForward(nn.Module):
    def __init__(self, dim: int, intermediate: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(dim, intermediate)
        self.activation = GELU()
        self.output_dense = nn.Linear(intermediate, dim)

    def __call__(self, x: mx.array) -> mx.array:
        return self.output_dense(self.activation(self.intermediate_dense(x)))


class EncoderLayer(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        dim, eps = config.hidden_size, config.layer_norm_eps
        self.attention = Attention(dim, config.num_attention_heads)
        self.layer_norm = nn.LayerNorm(dim, eps=eps)
        self.feed_forward = FeedForward(dim, config.intermediate_size)
        self.final_layer_norm = nn.LayerNorm(dim, eps=eps)

    def __call__(self, x: mx.array) -> mx.array:
        x = x + self.attention(self.layer_norm(x))
        return x + self.feed_forward(self.final_layer_norm(x))


class Transformer(nn.Module):
    """x: (B, T, C) → the mean of the hidden states of `mix_layers`, (B, T, C)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConv(config)
        self.layers = [EncoderLayer(config) for _ in range(max(config.mix_layers))]
        self._mix_layers = config.mix_layers

    def __call__(self, x: mx.array) -> mx.array:
        x = x + self.pos_conv_embed(x)
        hidden_states = [x]
        for layer in self.layers:
            x = layer(x)
            hidden_states.append(x)
        return mx.stack([hidden_states[i] for i in self._mix_layers]).mean(axis=0)


class Wav2Vec2(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = Transformer(config)

    def __call__(self, samples: mx.array) -> mx.array:
        """samples: (B, N), each brought to zero mean and unit variance here."""
        mean = samples.mean(axis=1, keepdims=True)
        deviation = mx.sqrt(samples.var(axis=1, keepdims=True) + 1e-7)
        features = self.feature_extractor(((samples - mean) / deviation)[..., None])
        return self.encoder(self.feature_projection(features))
