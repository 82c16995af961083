import re
from pathlib import Path

import pytest

from suite.rl.losses import kl_estimates
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES
from tests.rl.conformance import expectations
from tests.rl.conformance.checks import CASES, check, check_rewards
from tests.rl.conformance.expectations import enumerate_expectations

README = Path(expectations.__file__).parents[3] / "suite" / "rl" / "README.md"
TABLE = re.compile(r"\| estimator \| norm ratio \| cosine \|\n\|.*\n((?:\|.*\n)+)")


@pytest.fixture(scope="module")
def enumerated():
    return enumerate_expectations(seed=0)


@pytest.fixture(scope="module")
def seen(enumerated):
    return enumerated.numbers


def test_every_expectation_holds(enumerated):
    assert enumerated.broken == []
    assert enumerate_expectations(seed=1).broken == []


def test_the_published_numbers_of_one_choice_of_seven_come_out(seen):
    assert seen["kl", "true_value"] == pytest.approx(0.329885, abs=5e-7)
    assert seen["kl k3 in the loss, on policy", "gradient_cosine"] == pytest.approx(0.964, abs=5e-4)
    assert seen["kl k3 in the loss, on policy", "gradient_norm_ratio"] == pytest.approx(1.24, abs=5e-3)
    assert seen["kl k1 in the loss, on policy", "gradient_norm_ratio"] < 1e-12
    assert ("kl k1 in the loss, on policy", "gradient_cosine") not in seen
    for where in ("on policy", "off policy"):
        assert seen[f"kl k3_unbiased in the loss, {where}", "gradient_bias"] < 1e-12


def test_an_unbiased_estimator_has_exactly_no_bias(seen):
    assert seen["estimator rloo", "gradient_bias"] < 1e-12
    assert seen["estimator grpo scale_rewards=none", "gradient_norm_ratio"] == pytest.approx(3 / 4, abs=1e-12)
    assert seen["estimator grpo scale_rewards=none", "gradient_cosine"] == pytest.approx(1, abs=1e-12)
    assert seen["estimator grpo scale_rewards=group", "gradient_cosine"] < 0.999
    assert seen["aggregation seq-mean-token-sum", "gradient_bias"] < 1e-12
    assert seen["aggregation seq-mean-token-mean", "gradient_cosine"] < 0.99


def test_maxrl_points_along_the_gradient_of_success(seen):
    assert seen["estimator maxrl", "gradient_cosine"] == pytest.approx(1, abs=1e-12)
    assert seen["estimator maxrl", "gradient_norm_ratio"] > 1
    assert seen["estimator gdpo", "gradient_cosine"] < 0.999


def test_every_estimator_and_policy_loss_is_checked(seen):
    spans = {span for span, _ in seen}
    for name in ESTIMATORS.names:
        assert any(span.startswith(f"estimator {name}") for span in spans)
    for name in POLICY_LOSSES.names:
        assert seen[f"policy_loss {name}, one token, no clip", "gradient_bias"] < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_every_objective_is_its_formula_in_any_layout(name):
    for seed in (0, 1):
        check(CASES[name], seed)


def test_every_form_of_the_reward_is_its_formula():
    check_rewards()


def test_a_biased_value_breaks_expectations_and_is_named(monkeypatch):
    monkeypatch.setattr(expectations, "kl_estimates", lambda *arguments: kl_estimates(*arguments) + 1e-9)
    broken = enumerate_expectations(seed=0).broken
    assert broken[0] == "kl k1 in the loss, on policy: the mean of the estimates is off by 1e-09"
    assert len([sentence for sentence in broken if sentence.startswith("kl ")]) == 4


def test_the_readmes_table_of_estimators_is_what_is_enumerated(seen):
    (body,) = TABLE.findall(README.read_text(encoding="utf-8"))
    written = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]
    estimators = {span: f"`{span.removeprefix('estimator ')}`" for span, _ in seen if span.startswith("estimator ")}
    assert written == [
        [name, f"{seen[span, 'gradient_norm_ratio']:.4f}", f"{seen[span, 'gradient_cosine']:.4f}"]
        for span, name in estimators.items()
    ]
