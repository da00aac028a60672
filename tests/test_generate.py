"""The loop: stages, forced ids, the end, that it runs one step ahead, and batches."""

import mlx.core as mx
import pytest

from spark_mlx.backends import Backend
from spark_mlx.generation.generate import Stage, generate, generate_batch
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.plain_lm import PlainHead
from spark_mlx.generation.sampling import Sampling
from spark_mlx.model.qwen2 import LMConfig, Qwen2

GREEDY = Sampling(temperature=0)
KEY = mx.random.key(0)


class CountingHead(PlainHead):
    def __init__(self, candidates: tuple[int, ...]) -> None:
        self.candidates = mx.array(candidates)

    def __call__(self, hidden: mx.array) -> mx.array:
        return -mx.abs(self.candidates.astype(mx.float32) - hidden[:, -1:] - 1)

    def embed(self, drawn: mx.array) -> mx.array:
        return self.candidates[drawn][:, None, None].astype(mx.float32)


class CountingLM:
    """Thinks the next id is always the last one plus one, and writes down what it was fed."""

    def __init__(self) -> None:
        self.fed: list[list[int]] = []

    def make_cache(self) -> list[None]:
        return []

    def embed(self, ids: mx.array) -> mx.array:
        return ids[..., None].astype(mx.float32)

    def logits(self, x: mx.array, cache: list[None], head: CountingHead) -> mx.array:
        self.fed.append(x[0, :, 0].astype(mx.int32).tolist())
        return head(x[:, -1])

    def head(self, candidates: tuple[int, ...]) -> CountingHead:
        return CountingHead(candidates)


def run(stages: list[Stage], prompt: list[int]) -> tuple[list[int], list[list[int]]]:
    lm = CountingLM()
    return list(generate(lm, prompt, stages, GREEDY, KEY)), lm.fed


def test_counts_up_to_the_bound() -> None:
    drawn, fed = run([Stage(range(100), 4)], [7, 8, 9])
    assert drawn == [10, 11, 12, 13]
    assert fed == [[7, 8, 9], [10], [11], [12]]


def test_the_end_is_yielded_and_ends() -> None:
    drawn, _ = run([Stage(range(11), 50, end=11)], [8])
    assert drawn == [9, 10, 11]


def test_the_end_waits_for_the_first_draws() -> None:
    drawn, _ = run([Stage(range(9, 11), 50, end=11, at_least=4)], [8])
    # 10 is followed by 11 at best; masked, the nearest candidate is 10 again.
    assert drawn == [9, 10, 10, 10, 11]


def test_forced_ids_are_fed_but_not_drawn() -> None:
    stages = [Stage(range(50), 1, forced=(20, 30)), Stage(range(90), 2, forced=(60,))]
    drawn, fed = run(stages, [1])
    assert drawn == [31, 61, 62]
    assert fed == [[1, 20, 30], [31, 60], [61]]


def test_only_candidates_are_drawn() -> None:
    drawn, _ = run([Stage(range(40, 45), 3), Stage(range(5), 2)], [1])
    assert drawn == [40, 41, 42, 4, 4]


def test_a_step_is_submitted_before_the_last_is_read() -> None:
    lm = CountingLM()
    steps = generate(lm, [1], [Stage(range(100), 10)], GREEDY, KEY)
    for count in range(1, 5):
        next(steps)
        assert len(lm.fed) == count + 1


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_the_key_decides(seeds: tuple[int, int]) -> None:
    answers = [
        list(
            generate(
                CountingLM(), [1], [Stage(range(1000), 20)], Sampling(50.0, 0, 1), mx.random.key(s)
            )
        )
        for s in seeds
    ]
    assert (answers[0] == answers[1]) == (seeds[0] == seeds[1])


# Batches, with a real model.


@pytest.fixture(scope="module")
def lm(backend: Backend) -> LanguageModel:
    mx.random.seed(5)
    model = Qwen2(LMConfig(64, 96, 2, 4, 2, 96, 1024, 1e-6, 1e4, True))
    # Sharper logits than a fresh model's, so that rounding cannot turn a draw.
    model.embed_tokens.weight = model.embed_tokens.weight * 60
    return backend.language_model(model)


PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15, 16]]


def alone(lm: LanguageModel, stages: list[Stage], sampling: Sampling) -> list[list[int]]:
    return [
        list(generate(lm, prompt, [stage], sampling, mx.random.key(i)))
        for i, (prompt, stage) in enumerate(zip(PROMPTS, stages, strict=True))
    ]


def together(lm: LanguageModel, stages: list[Stage], sampling: Sampling) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in PROMPTS]
    keys = [mx.random.key(i) for i in range(len(PROMPTS))]
    for stream, id_ in generate_batch(lm, PROMPTS, stages, sampling, keys):
        answers[stream].append(id_)
    return answers


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(), Sampling(1.0, 0, 1.0)])
def test_a_batch_gives_what_each_gives_alone(lm: LanguageModel, sampling: Sampling) -> None:
    stages = [Stage(range(20, 90), count, end=95, at_least=2) for count in (300, 40, 7, 1)]
    answers = together(lm, stages, sampling)
    assert answers == alone(lm, stages, sampling)
    # They end at different steps, by themselves or at their bounds.
    assert len({len(answer) for answer in answers}) == 4
    assert len(answers[3]) == 1


def test_a_batch_of_one(lm: LanguageModel) -> None:
    stage = Stage(range(20, 90), 30, end=95)
    batch = generate_batch(lm, PROMPTS[:1], [stage], Sampling(), [mx.random.key(3)])
    single = generate(lm, PROMPTS[0], [stage], Sampling(), mx.random.key(3))
    assert [id_ for _, id_ in batch] == list(single)
