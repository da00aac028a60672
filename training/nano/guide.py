"""Shows some heads the way through a text.

To say a text, a model has to attend to the letters it has got to. Found by chance, that takes most
of a training. But espeak-ng tells when it says which word (`alignment.py`), so one head of two
layers is told where to look. It is a loss of training alone; the model is the same with it and
without.

Source: Tachibana et al., "Efficiently Trainable Text-to-Speech System Based on Deep Convolutional
Networks with Guided Attention" (2018), section 3, which supposes an even pace instead.
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx

from spark_mlx.cpu import softmax
from spark_mlx.layers import RotaryPositions
from spark_mlx.lm import KVCache, Layer, LMConfig, Qwen2

# So many letters to either side of the one that is due are on the way, too: a sound depends on its
# neighbours, and within a word nobody tells which letter it is. After the last one comes the mark
# that ends the text.
LETTERS = 3.0


@dataclasses.dataclass(frozen=True)
class Paths:
    """Where the speech of a batch is in its texts.

    Attributes:
        text: the place of the first letter, (B,).
        due: for each place, the letter it should answer for, counted from 0, (B, T); NaN where it
            answers with no speech, or nobody knows.
    """

    text: mx.array
    due: mx.array

    def near(self) -> tuple[mx.array, mx.array]:
        """Which places should be looked at, (B, T, T), and from which places, (B, T)."""
        letters = mx.arange(self.due.shape[1])[None] - self.text[:, None]
        near = mx.abs(letters[:, None] + 0.5 - self.due[:, :, None]) <= LETTERS
        return near & (letters >= 0)[:, None], ~mx.isnan(self.due)


def guided(config: LMConfig) -> range:
    """The layers that are guided: two, after those that see what letters stand for."""
    first = config.num_hidden_layers // 3
    return range(first, first + 2)


class NoCache(KVCache):
    """Keeps nothing: in training the whole sequence is there at once."""

    def append(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, values


def hidden(lm: Qwen2, x: mx.array, paths: Paths) -> tuple[mx.array, mx.array]:
    """As `Qwen2.hidden` in training, and how far the guided heads are astray.

    Args:
        x: embedded ids, (B, T, hidden_size).

    Returns: (B, T, hidden_size), and a scalar, 0 when they look nowhere but where they should.
    """
    near, speaks = paths.near()
    astray = []
    for i, layer in enumerate(lm.layers):
        if i in guided(lm.config):
            on_the_way = (_first_head(layer, lm.config, x) * near).sum(axis=-1)
            lost = -mx.log(on_the_way + 1e-4) * speaks
            astray.append(lost.sum() / mx.maximum(speaks.sum(), 1))
        x = layer(x, NoCache(), None)
    return lm.norm(x), mx.stack(astray).mean()


def _first_head(layer: Layer, config: LMConfig, x: mx.array) -> mx.array:
    """Where the first head of a layer looks: (B, T, T)."""
    dim = config.head_dim
    rotate = RotaryPositions(dim, config.rope_theta)
    attention, x = layer.self_attn, layer.input_layernorm(x)
    queries, keys = (
        rotate((x @ linear.weight[:dim].T + linear.bias[:dim])[:, None], 0)
        for linear in (attention.q_proj, attention.k_proj)
    )
    scores = dim**-0.5 * queries @ keys.transpose(0, 1, 3, 2)
    return softmax(scores, causal=True)[:, 0]
