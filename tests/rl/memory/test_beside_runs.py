"""The projection of a step within 5% of what a run of the same settings holds, in every phase.

With real tensors, of which tests/rl/memory/test_step.py has that they hold what fake ones do: here they are faster.
"""

from contextlib import nullcontext

import pytest

from suite.records.metrics import PHASES
from tests.rl.memory.beside_runs import GROUPED, LATENT, MOST_APART, WORDY, beside

STEP = {"prompts_per_step": 6, "num_generations": 8, "minibatch": 32, "micro_batch": 16}


CACHING = GROUPED | {"num_layers": 2, "num_kv_heads": 8, "hidden_size": 64, "head_dim": 8, "intermediate_size": 160}
"""Its rollout holds more in caches than in weights, and most as they grow."""


@pytest.mark.parametrize(
    ("algorithm", "sizes", "words", "checkpointing"),
    [
        ("grpo", CACHING, 0, False),
        ("ppo", LATENT | {"num_layers": 2, "hidden_size": 128}, 0, True),
        ("ppo", WORDY | {"num_layers": 1, "hidden_size": 128}, 500, False),
    ],
    ids=["GQA", "MLA", "larger vocabulary"],
)
def test_a_projected_peak_is_that_of_a_run(algorithm, sizes, words, checkpointing, tmp_path):
    step = STEP | {"checkpointing": checkpointing}
    found = beside(algorithm, sizes, words, longest=20, shared=tmp_path, tensors=nullcontext, **step)
    for phase in PHASES:
        projected, held = found[phase]
        assert projected == pytest.approx(held, rel=MOST_APART), phase
