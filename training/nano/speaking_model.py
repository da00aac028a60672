"""All that speaks, in torch: semantic and global tokens → samples; and the half that is done."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

import loop
from sizes import Sizes
from speaking import Prenet, WaveGenerator
from token_model import TokenModel


def listening(folder: Path, sizes: Sizes, device: str) -> TokenModel:
    """The listening half of `train_tokens.py`, as it was left, with no more to learn."""
    model = TokenModel(sizes).to(device)
    model.load_state_dict(loop.load(folder / "tokens.pt", device)["model"])
    return model.requires_grad_(False).eval()


class SpeakingModel(nn.Module):
    """Semantic and global tokens → samples: everything that goes on learning."""

    def __init__(self, sizes: Sizes, tokens: TokenModel) -> None:
        super().__init__()
        self.quantizer = tokens.quantizer
        self.speaker_encoder = tokens.speaker_encoder
        self.prenet: Prenet = tokens.prenet
        self.wave_generator = WaveGenerator(sizes.speaking)

    def forward(self, tokens: Tensor, voices: Tensor, first: int, frames: int) -> Tensor:
        """Tokens (B, W), global tokens (B, G) → the samples of `frames` frames from `first` on."""
        return self.wave_generator(self.features(tokens, voices)[..., first : first + frames])

    def features(self, tokens: Tensor, voices: Tensor) -> Tensor:
        """Tokens (B, W), global tokens (B, G) → what the wave generator is given (B, C, W)."""
        features: Tensor = self.prenet(
            self.quantizer.decode(tokens), self.speaker_encoder.decode(voices)
        )
        return features

    def learning(self) -> list[nn.Parameter]:
        """What speaks; what listens stays as it is, or a recording would get other tokens."""
        voice = self.speaker_encoder
        parts: list[nn.Module] = [
            self.quantizer.out_project,
            voice.quantizer.project_out,
            voice.project,
            self.prenet,
            self.wave_generator,
        ]
        return [p for part in parts for p in part.parameters()]
