import pytest

from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError
from suite.records.metrics import METRICS
from suite.rl.conformance import workload
from suite.rl.conformance.plan import ConformancePlan
from suite.rl.conformance.workload import ConformanceWorkload
from suite.rl.losses import kl_estimates
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES
from tests.rl.conformance.checks import CASES, check, check_rewards

SETTINGS = {"device": "cpu", "dtype": "float64", "threads": 1, "seed": 0}


@pytest.fixture(scope="module")
def seen():
    meter = Meter()
    ConformanceWorkload(SETTINGS).step(meter)
    assert {reading.metric for reading in meter.readings} <= METRICS.keys()
    return {(reading.span, reading.metric): reading.value for reading in meter.readings}


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
        if name != "sapo":  # which has a gate in a clip's place
            assert seen[f"policy_loss {name}, three tokens", "clip_fraction_high"] > 0


@pytest.mark.parametrize("name", CASES)
def test_every_objective_is_its_formula_in_any_layout(name):
    for seed in (0, 1):
        check(CASES[name], seed)


def test_every_form_of_the_reward_is_its_formula():
    check_rewards()


def test_the_expectations_hold_for_another_seed_too():
    ConformanceWorkload(SETTINGS | {"seed": 1}).step(Meter())


def test_a_biased_value_ends_as_incorrect_and_is_named(monkeypatch):
    monkeypatch.setattr(workload, "kl_estimates", lambda *arguments: kl_estimates(*arguments) + 1e-9)
    meter = Meter()
    said = "^kl k1 in the loss, on policy: the mean of the estimates is off by 1e-09, and 3 more$"
    with pytest.raises(IncorrectError, match=said):
        ConformanceWorkload(SETTINGS).step(meter)
    assert len(meter.readings) > 30


def test_the_plan_refuses_a_precision_in_which_a_bias_drowns():
    with pytest.raises(ValueError, match="dtype must be one of float64; got 'float32'"):
        ConformancePlan(SETTINGS | {"dtype": "float32"})
