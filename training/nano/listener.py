"""The listening half in torch: samples (B, N) → latents of semantic tokens (B, T, codebook_dim).

wav2vec2's shape with pre-norm layers, the feature encoder and the quantiser's input projection.
Names are the published checkpoint's, whose three folders `published` sorts the parameters into.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sizes import Listener as ListenerSizes
from sizes import Sizes
from vocos import Nothing, VocosBackbone


class ConvLayer(nn.Module):
    """x: (B, T, C) → (B, T', D); its convolution is a product with blocks of the stride's length.

    All stays in this order, for the norm's sake; the kernel is at most two strides long.
    """

    def __init__(self, channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, width, kernel, stride=stride)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, channels = x.shape
        (kernel,), (stride,) = self.conv.kernel_size, self.conv.stride
        frames = (length - kernel) // stride + 1
        x = functional.pad(x, (0, 0, 0, max(0, (frames + 1) * stride - length)))
        blocks = x[:, : (frames + 1) * stride].reshape(batch, frames + 1, stride * channels)
        rest = (kernel - stride) * channels
        seen = torch.cat([blocks[:, :-1], blocks[:, 1:, :rest]], dim=2)
        weight = self.conv.weight.transpose(1, 2).flatten(1)  # (D, kernel · C)
        y = functional.linear(seen, weight, self.conv.bias)
        return functional.gelu(self.layer_norm(y))


class FeatureExtractor(nn.Module):
    def __init__(self, sizes: ListenerSizes) -> None:
        super().__init__()
        widths = (1, *sizes.conv_dim)
        shapes = zip(widths[:-1], widths[1:], sizes.conv_kernel, sizes.conv_stride, strict=True)
        self.conv_layers = nn.ModuleList(ConvLayer(*shape) for shape in shapes)


class FeatureProjection(nn.Module):
    def __init__(self, sizes: ListenerSizes) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(sizes.conv_dim[-1])
        self.projection = nn.Linear(sizes.conv_dim[-1], sizes.hidden_size)


class PositionalConv(nn.Module):
    def __init__(self, sizes: ListenerSizes) -> None:
        super().__init__()
        dim, kernel = sizes.hidden_size, sizes.num_conv_pos_embeddings
        groups = sizes.num_conv_pos_embedding_groups
        self.conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, C); an even kernel gives one frame too many."""
        y = self.conv(x.transpose(1, 2))[..., : x.shape[1]]
        return functional.gelu(y).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            nn.Linear(dim, dim) for _ in range(4)
        )
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        queries, keys, values = (
            layer(x).view(batch, length, self._heads, -1).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = functional.scaled_dot_product_attention(queries, keys, values)
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, dim))


class FeedForward(nn.Module):
    def __init__(self, dim: int, wide: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(dim, wide)
        self.output_dense = nn.Linear(wide, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(functional.gelu(self.intermediate_dense(x)))


class EncoderLayer(nn.Module):
    def __init__(self, sizes: ListenerSizes) -> None:
        super().__init__()
        dim = sizes.hidden_size
        self.attention = Attention(dim, sizes.num_attention_heads)
        self.layer_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, sizes.intermediate_size)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layer_norm(x))
        return x + self.feed_forward(self.final_layer_norm(x))


class Transformer(nn.Module):
    def __init__(self, sizes: ListenerSizes) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConv(sizes)
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.layers))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_conv_embed(x)
        for layer in self.layers:
            x = layer(x)
        return x


class Wav2Vec2(nn.Module):
    def __init__(self, sizes: ListenerSizes) -> None:
        super().__init__()
        self.feature_extractor = FeatureExtractor(sizes)
        self.feature_projection = FeatureProjection(sizes)
        self.encoder = Transformer(sizes)

    def forward(self, samples: Tensor) -> Tensor:
        """samples: (B, N), of zero mean and unit variance → (B, T, C)."""
        x = samples[..., None]
        for layer in self.feature_extractor.conv_layers:
            x = layer(x)
        x = self.feature_projection.layer_norm(x)
        return self.encoder(self.feature_projection.projection(x))


class Encoder(nn.Module):
    """Features (B, T, C) → latents (B, T, width), at the same rate."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        ears = sizes.listener
        dim, wide = ears.vocos_dim, ears.vocos_intermediate_dim
        self.encoder = VocosBackbone(ears.hidden_size, dim, wide, ears.vocos_num_layers)
        self.downsample = nn.ModuleList(
            [nn.ModuleList([Nothing(), VocosBackbone(dim, dim, wide, 2)])]
        )
        self.project = nn.Linear(dim, sizes.width)

    def forward(self, features: Tensor) -> Tensor:
        x = self.encoder(features.transpose(1, 2)).transpose(1, 2)
        for resample, backbone in self.downsample:
            x = backbone(resample(x)).transpose(1, 2)
        return self.project(x.transpose(1, 2))


def normalised(samples: Tensor) -> Tensor:
    """Samples (B, N) at zero mean and unit variance, as the runtime brings them there."""
    mean, variance = samples.mean(1, keepdim=True), samples.var(1, unbiased=False, keepdim=True)
    return (samples - mean) / torch.sqrt(variance + 1e-7)


class Listener(nn.Module):
    """Samples as `normalised` leaves them → latents; a frame hears 400 samples, from its first."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.wav2vec2 = Wav2Vec2(sizes.listener)
        self.encoder = Encoder(sizes)
        self.in_project = nn.Conv1d(sizes.width, sizes.codebook_dim, 1)

    def forward(self, samples: Tensor) -> Tensor:
        return self.latents(samples)[1]

    def latents(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Before the projection (B, T, width), and after (B, T, codebook_dim)."""
        wide = self.encoder(self.wav2vec2(samples))
        return wide, self.in_project(wide.transpose(1, 2)).transpose(1, 2)
