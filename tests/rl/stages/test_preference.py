"""DPO on the policy's own completions: its pairs, and its loss beside a literal formula."""

import copy
import itertools
import math

import pytest
import torch

from suite.measure.meter import Meter
from suite.records.holdings import EXPERIENCE, NOBODY, OTHER, REFERENCE
from suite.rl.base import new_decoder
from suite.rl.sft_data import pool_places
from suite.rl.stage import StageBegin
from suite.rl.stages import preference
from suite.rl.stages.preference import PreferenceStage, preferences
from suite.rl.tasks.task import Score
from suite.rl.workload import RlWorkload
from tests.rl.cases import plan, settings
from tests.rl.examples import experience, mask_of
from tests.rl.test_step_memory import held, stepped

BETA = 0.3
ALONE = {
    "stages": [{"kind": "preference", "share": 1.0}],
    "rollouts": 2,
    "preference_beta": BETA,
    "rpo_alpha": 0.0,
}
RIGHT, FORMLESS, WRONG = Score(accuracy=1, format=1), Score(accuracy=1, format=0), Score(accuracy=0, format=1)


@pytest.mark.parametrize(
    ("scores", "lengths", "pairs"),
    [
        ([WRONG, RIGHT, FORMLESS], [3, 4, 2], [[1, 0]]),
        ([FORMLESS, RIGHT, WRONG], [1, 4, 2], [[1, 0]]),
        ([RIGHT, RIGHT, RIGHT], [5, 3, 4], [[1, 0]]),
        ([RIGHT, RIGHT, WRONG], [4, 3, 5], [[1, 2], [1, 0]]),
        ([RIGHT, RIGHT, RIGHT], [3, 3, 3], []),
        ([WRONG, WRONG, FORMLESS], [3, 4, 5], []),
        ([RIGHT, RIGHT, RIGHT, WRONG, RIGHT, WRONG], [3, 3, 3, 4, 4, 4], [[4, 3]]),
    ],
)
def test_the_shortest_right_one_stands_over_wrong_and_longer(scores, lengths, pairs):
    groups_N = torch.arange(len(scores)) // 3
    assert preferences(experience(mask_of(lengths, max(lengths)), scores, groups_N=groups_N)).tolist() == pairs


@pytest.fixture
def every_other_is_right(monkeypatch):
    """Let the policy of no training have pairs."""
    verdicts = itertools.cycle([False, True])
    monkeypatch.setattr(preference, "is_verified", lambda score: next(verdicts))


def begun(**changes):
    wanted, attention = (
        plan(**{"dtype": "float64", "recipe": ALONE, "minibatch": 16, **changes}),
        settings()["attention"],
    )
    policy = new_decoder(wanted, attention)
    with torch.no_grad():
        policy.embedding[1] += 0.7 * policy.embedding[5]  # it ends now and then
    at = StageBegin(plan=wanted, planned=wanted.recipe.stages[0], attention=attention, policy=policy, teacher=None)
    return policy, PreferenceStage(at), Meter()


def noted(stage, meter, step):
    meter.step, meter.readings = step, []
    stage.step(meter, looks=False)
    return {reading.metric: reading.value for reading in meter.readings}


def literal(policy, reference, pairs, places):
    """The mean over pairs of -log sigmoid(beta[(log pi - log ref)(chosen) - (log pi - log ref)(rejected)]), and of -log
    pi(chosen), a token."""
    losses, margins, examples = [], [], []
    for place in places:
        margin, logs = 0.0, []
        for sign, row in ((1, 2 * place), (-1, 2 * place + 1)):
            given, completion = pairs["prompts_NS"][row], pairs["tokens_NT"][row][pairs["mask_NT"][row] > 0]
            text = torch.cat((given, completion))[None]
            for model, side in ((policy, sign), (reference, -sign)):
                probabilities = model.logits(model(text))[0].softmax(dim=-1)
                for at in range(len(given), text.shape[1]):
                    log = probabilities[at - 1, text[0, at]].log()
                    margin = margin + BETA * side * log
                    logs += [log] if sign == 1 and model is policy else []
        examples.append(-sum(logs) / len(logs))
        losses.append(-torch.log(1 / (1 + torch.exp(-margin))))
        margins.append(float(margin.detach()))
    return sum(losses) / len(losses), margins, sum(examples) / len(examples)


@pytest.mark.usefixtures("every_other_is_right")
@pytest.mark.parametrize("alpha", [0, 0.7])
def test_loss_and_gradient_are_the_literal_formulas(alpha):
    policy, stage, meter = begun(lr=0.01, warmup_updates=0, recipe={**ALONE, "rpo_alpha": alpha})
    reference = copy.deepcopy(policy).requires_grad_(False)
    first = noted(stage, meter, 0)
    assert first["preference_loss"] == pytest.approx(math.log(2), abs=1e-12)
    before = copy.deepcopy(policy)
    second = noted(stage, meter, 1)
    assert (second["updates"], second["completions"]) == (1, 0)

    pairs, seed = stage.state()["pairs"], settings()["seed"]
    loss, margins, example_loss = literal(
        before, reference, pairs, pool_places(int(first["pairs_kept"]), 1, 8, seed, 0)
    )
    assert second["preference_loss"] == pytest.approx(float(loss.detach()), rel=1e-9)
    assert second["preference_margin"] == pytest.approx(sum(margins) / len(margins), rel=1e-9)
    assert second["preference_accuracy"] == sum(margin > 0 for margin in margins) / len(margins) > 0.5
    assert second["example_loss"] == pytest.approx(float(example_loss.detach()), rel=1e-9)
    gradients = torch.autograd.grad(loss + alpha * example_loss, list(before.parameters()))
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    assert second["gradient_norm"] == pytest.approx(float(norm), rel=1e-9)


@pytest.mark.usefixtures("every_other_is_right")
def test_a_step_spends_what_one_of_another_stage_does():
    _, stage, meter = begun(minibatch=8, inner_epochs=2)
    seen = noted(stage, meter, 0)
    assert (seen["completions"], seen["examples"], seen["updates"]) == (32, 32, 4)


def test_micro_batches_of_pairs_do_not_matter(monkeypatch):
    ended = []
    for micro_batch in (None, 4):
        verdicts = itertools.cycle([False, True])
        monkeypatch.setattr(preference, "is_verified", lambda score, verdicts=verdicts: next(verdicts))
        policy, stage, meter = begun(micro_batch=micro_batch)
        noted(stage, meter, 0)
        ended.append(torch.nn.utils.parameters_to_vector(policy.parameters()).detach())
    torch.testing.assert_close(*ended, rtol=0, atol=1e-8)


def test_without_pairs_nothing_is_learnt():
    policy, stage, meter = begun()
    before = torch.nn.utils.parameters_to_vector(policy.parameters()).detach().clone()
    seen = noted(stage, meter, 0)
    assert (seen["pairs_kept"], seen["examples"], seen["updates"]) == (0, 0, 0)
    assert torch.equal(torch.nn.utils.parameters_to_vector(policy.parameters()), before)


@pytest.mark.usefixtures("every_other_is_right")
def test_pairs_and_the_references_answers_have_owners(tmp_path):
    workload = RlWorkload(settings(track_memory=True, recipe=ALONE))
    workload.prepare(tmp_path)
    readings = stepped(workload, steps=2)
    for phase, step in (("rollout", 0), ("score", 0), ("update", 0), ("update", 1)):
        parts = held(readings, phase, step)
        assert parts
        assert (NOBODY, OTHER) not in parts, (phase, step)
    assert parts[NOBODY, EXPERIENCE] > parts[REFERENCE, EXPERIENCE] > 0
    assert {owner for owner, kind in parts if kind == "parameters"} == {"policy"}
