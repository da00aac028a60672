"""A model trained with torch says and hears the same after it was converted."""

# ruff: noqa: E402 (without torch there is nothing to import)

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training" / "nano"))

import export
import spark_mlx
from listener import Listener, normalised
from mel import SpeakerMel
from qwen import Qwen2
from sizes import TINY
from speaking import Prenet, WaveGenerator
from tokens import SemanticQuantizer
from vocabulary import Vocabulary
from voice_encoder import SpeakerEncoder


class Parts(torch.nn.Module):  # type: ignore[misc]
    """The parts of `speaking_model.SpeakingModel`, which needs no teacher here."""

    def __init__(self) -> None:
        super().__init__()
        self.quantizer = SemanticQuantizer(TINY.codebook_size, TINY.codebook_dim, TINY.width)
        self.speaker_encoder = SpeakerEncoder(TINY.voice)
        self.prenet = Prenet(TINY)
        self.wave_generator = WaveGenerator(TINY.speaking)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Parts, Listener, Qwen2, Path]:
    torch.manual_seed(0)
    parts, listener = Parts(), Listener(TINY)
    lm = Qwen2(TINY.lm, Vocabulary(TINY).size)
    parts.quantizer.begin(torch.randn(200, TINY.codebook_dim))
    for module in parts.modules():  # as after training: statistics that are not zero and one
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    folder = tmp_path_factory.mktemp("nano")
    for module in (parts, listener, lm):
        module.eval()
    states = (module.state_dict() for module in (parts, listener, lm))
    export.write(folder / "checkpoint", TINY, *states)
    export.convert(folder / "checkpoint", folder / "model")
    return parts, listener, lm, folder / "model"


def test_the_codec_is_the_same(trained: tuple[Parts, Listener, Qwen2, Path]) -> None:
    parts, listener, _, folder = trained
    codec = spark_mlx.load(folder).codec
    sound = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    with torch.no_grad():
        samples = torch.from_numpy(sound)[None]
        latents = listener(normalised(samples))
        _, voice = parts.speaker_encoder(SpeakerMel()(samples))
        tokens = parts.quantizer.nearest(latents)
        speaker = parts.speaker_encoder.decode(voice)
        features = parts.prenet(parts.quantizer.decode(tokens), speaker)
        said = parts.wave_generator(features)[0].numpy()
    codes = codec.encode(sound)
    assert codes.semantic_tokens.tolist() == tokens[0].tolist()
    assert codes.global_tokens.tolist() == voice[0].tolist()
    again = codec.decode(codes.global_tokens, codes.semantic_tokens)
    np.testing.assert_allclose(again, said, atol=1e-4)


def test_prompts_are_the_runtimes(trained: tuple[Parts, Listener, Qwen2, Path]) -> None:
    vocabulary = Vocabulary(TINY)
    runtime = spark_mlx.load(trained[3]).vocabulary
    text, voice = "Is it 5 o’clock, Zoë?", [3, 1, 4, 1]
    assert vocabulary.clone(text, voice) == runtime.clone_prompt(text, voice)
    assert vocabulary.semantic([0, 63]) == runtime.semantic.ids([0, 63])
    assert vocabulary.mark["im_end"] == runtime.end
