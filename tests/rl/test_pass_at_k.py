"""Many samples of held-out prompts beside a run, which they leave as it is."""

from dataclasses import replace

import pytest
import torch

from suite.lm.sampling import prompts_from, sample
from suite.measure.rng import python_rng, torch_rng
from suite.records.metrics import METRICS, PASS_AT_K
from suite.records.record import Status
from suite.rl.base import new_decoder
from suite.rl.plan import RlPlan
from suite.rl.recipe import teacher_settings
from suite.rl.rollout import decode_completions, pass_at_k_shares
from suite.rl.tasks.sorting import Sorting
from suite.rl.tasks.task import draw
from suite.statistics.pass_at_k import pass_at_k
from tests.measure import stateful_runs
from tests.rl.cases import recipe, settings


class Easy(Sorting):
    """A task that an untrained policy solves now and then: the last digit comes back among the first few tokens."""

    def score(self, item, completion):
        right = item.prompt[-2] in completion[:6]
        return replace(super().score(item, completion), accuracy=float(right))


EASY = {"_target_": f"{__name__}.Easy", "digits": 2}


def in_process(folder, algorithm="grpo", *, until=None, **changes):
    """Its outcome, pass@k by step and span, all other readings that follow from its seed, and its facts."""
    composed = settings(algorithm, task=EASY, **changes)
    outcome, readings, facts = stateful_runs.in_process(composed, folder, until=until)
    seeded = [reading for reading in readings if METRICS[reading.metric].seeded]
    shares = {(one.step, one.span): one.value for one in seeded if one.metric == PASS_AT_K}
    return outcome, shares, [reading for reading in seeded if reading.metric != PASS_AT_K], facts


@pytest.mark.parametrize(("algorithm", "name"), [("ppo", "r1_zero"), ("grpo", "distill")])
def test_many_samples_change_nothing_else_of_a_run(tmp_path, algorithm, name):
    asked = {"recipe": recipe(name), "steps": 6, "lr": 0.3, "warmup_updates": 0}
    _, none, without, facts = in_process(tmp_path / "without", algorithm, **asked)
    outcome, shares, others, facts_with = in_process(tmp_path / "with", algorithm, pass_at_k=8, **asked)
    assert outcome == (Status.OK, None)
    assert none == {}
    assert others == without
    assert facts.get("teacher", {}).get("key") == facts_with.get("teacher", {}).get("key")
    assert set(shares) == {(step, f"evaluate/k={k}") for step in (0, 6) for k in (1, 2, 4, 8)}
    before, after = ([shares[step, f"evaluate/k={k}"] for k in (1, 2, 4, 8)] for step in (0, 6))
    assert 0 < before[0] < before[1] < before[2] < before[3] <= 1
    assert (before != after) == (name == "r1_zero")  # a teacher that is never right teaches nothing


def test_a_run_that_died_has_the_samples_of_the_unbroken_one(tmp_path):
    asked = {"steps": 4, "checkpoint_seconds": 1e-9, "pass_at_k": 4}
    _, unbroken, others, _ = in_process(tmp_path / "unbroken", **asked)
    assert in_process(tmp_path / "broken", until=3, **asked)[0] is None
    outcome, resumed, resumed_others, facts = in_process(tmp_path / "broken", **asked)
    assert outcome == (Status.OK, None)
    assert len(facts["resumed_at_steps"]) == 1
    assert len(unbroken) == 6
    assert (resumed, resumed_others) == (unbroken, others)


def test_how_many_are_sampled_at_once_changes_no_number():
    plan = RlPlan(settings(task=EASY, pass_at_k=16, temperature=1.5))
    policy, generator = new_decoder(plan, settings()["attention"]), python_rng("items")
    items = [draw(plan.task, generator, held_out=True) for _ in range(5)]
    prompts = prompts_from([plan.vocabulary.prompt(plan.task, item) for item in items], torch.device("cpu"))
    right = torch.zeros(5, dtype=torch.long)
    for stream in range(16):
        noise = torch_rng(torch.device("cpu"), plan.seed, "pass at k", stream)
        how = {"longest": plan.longest_completion, "end": plan.vocabulary.end, "temperature": 1.5, "generator": noise}
        texts = decode_completions(plan, sample(policy, prompts, **how))
        right += torch.tensor([plan.task.score(*pair).accuracy for pair in zip(items, texts, strict=True)]).long()
    assert len(set(right.tolist())) > 2
    shares = {k: pass_at_k(right.numpy(), 16, k).mean() for k in (1, 2, 4, 8, 16)}
    for rows in (1, 5, 16, 37, 10_000):  # one round at a time, three, seven and two, and all
        assert pass_at_k_shares(plan, policy, items, prompts, rows=rows) == shares


def test_a_teacher_is_not_sampled():
    composed = settings(recipe=recipe("distill"), steps=10, pass_at_k=4)
    assert (RlPlan(composed).pass_at_k, RlPlan(teacher_settings(composed)).pass_at_k) == (4, None)
