"""The semantic tokens in training: latents → codes of length one, with a codebook that follows.

A quantiser's step has no gradient, so the gradient of its output is given to its input as it is
(van den Oord et al., "Neural Discrete Representation Learning", 2017). Latents and codes have
length one: the runtime compares them by angle, so a length would be something that the codes cannot
carry. The codebook follows the running means of the latents that chose each code, and a code that
is hardly chosen any more starts again at a latent of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

DECAY = 0.99
# Share of its fair number of latents below which a code is dead.
DEAD = 0.1


class SemanticQuantizer(nn.Module):
    """Latents (B, T, D) → vectors (B, T, width); `quantised` is False until there is a codebook.

    `codebook.weight` and `out_project` are named as in the published checkpoint; the running means
    behind the codebook are buffers beside them.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, dim: int, width: int) -> None:
        super().__init__()
        self.codebook = nn.Embedding(codes, dim)
        self.codebook.weight.requires_grad_(False)
        self.out_project = nn.Conv1d(dim, width, 1)
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, dim))

    @property
    def quantised(self) -> bool:
        return bool(self.counts.any())

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """→ vectors (B, T, width), codes (B, T) and how far the latents are from their codes."""
        latents = functional.normalize(latents.float(), dim=-1)
        if not self.quantised:
            codes = torch.zeros(latents.shape[:2], dtype=torch.long, device=latents.device)
            return self.project(latents), codes, latents.new_zeros(())
        codes = self.nearest(latents.detach())
        chosen = self.codebook.weight[codes]
        apart = (latents - chosen).square().sum(-1).mean()
        return self.project(latents + (chosen - latents).detach()), codes, apart

    def project(self, vectors: Tensor) -> Tensor:
        """(B, T, D) → (B, T, width)."""
        weight = self.out_project.weight[..., 0]
        return functional.linear(vectors, weight, self.out_project.bias)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, T) → vectors (B, T, width)."""
        return self.project(self.codebook.weight[codes])

    def nearest(self, latents: Tensor) -> Tensor:
        """Latents (…, D) of any length → the codes that are nearest by angle (…)."""
        flat = latents.reshape(-1, latents.shape[-1]).float()
        with torch.autocast(latents.device.type, enabled=False):
            codes = [(part @ self.codebook.weight.T).argmax(-1) for part in torch.split(flat, 4096)]
        return torch.cat(codes).view(latents.shape[:-1])

    @torch.no_grad()
    def begin(self, latents: Tensor, rounds: int = 8) -> None:
        """Sets the codes by k-means on latents (N, D), N at least as many as there are codes."""
        latents = functional.normalize(latents.float(), dim=-1)
        codes = len(self.counts)
        order = torch.randperm(len(latents), device=latents.device)
        self.codebook.weight.copy_(latents[order[:codes]])
        for _ in range(rounds):
            counts, sums = self._tally(latents, self.nearest(latents))
            empty = counts == 0
            spare = torch.randint(len(latents), (int(empty.sum()),), device=latents.device)
            sums[empty] = latents[spare]
            self.codebook.weight.copy_(functional.normalize(sums, dim=-1))
        self.sums.copy_(self.codebook.weight)
        self.counts.fill_(1.0)

    @torch.no_grad()
    def follow(self, latents: Tensor, codes: Tensor) -> int:
        """Takes in a batch: latents (N, D) and the codes (N,) they chose → how many codes died."""
        latents = functional.normalize(latents.float(), dim=-1)
        counts, sums = self._tally(latents, codes)
        # In units of the fair number, so that the state does not depend on the batch's size.
        fair = len(latents) / len(self.counts)
        self.counts.lerp_(counts / fair, 1 - DECAY)
        self.sums.lerp_(sums / fair, 1 - DECAY)
        dead = (self.counts < DEAD).nonzero()[:, 0]
        dead = dead[: len(latents) // 8]
        spare = torch.randperm(len(latents), device=latents.device)[: len(dead)]
        self.sums[dead] = latents[spare]
        self.counts[dead] = 1.0
        self.codebook.weight.copy_(functional.normalize(self.sums, dim=-1))
        return len(dead)

    def _tally(self, latents: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        counts = torch.bincount(codes, minlength=len(self.counts)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, codes, latents)
        return counts, sums
