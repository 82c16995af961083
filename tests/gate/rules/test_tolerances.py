"""Tolerances that people edit."""

import pytest

from suite.gate.rules.tolerances import Tolerances

CASE = "tests/a.py::t[x-1]"
OF_CASE = (CASE, "layer", "latency_s")


LINES = [
    {"case": CASE, "floor": 0.1, "target": 0.3},
    {"case": "tests/*", "span": "lay*", "metric": "latency_s", "floor": 0.2},
]
BY_LINES = Tolerances.from_settings({"metrics": {"latency_s": 0.04}, "cases": LINES})
LARGE = Tolerances.from_settings({"floor": 0.08, "target": 0.05})


@pytest.mark.parametrize(
    ("tolerances", "quantity", "effect", "margin"),
    [
        (Tolerances.load(), OF_CASE, 0.02, 0.05),  # as documented
        (Tolerances.load(), (CASE, "layer", "energy_j"), 0.05, 0.05),
        (LARGE, OF_CASE, 0.08, 0.08),  # above the margin it raises that
        # The line of a case beats the metric and earlier lines, and its brackets mean themselves.
        (BY_LINES, OF_CASE, 0.2, 0.3),
        (BY_LINES, (CASE, "kernel", "latency_s"), 0.1, 0.3),
        (BY_LINES, ("tests/a.py::tx", "kernel", "latency_s"), 0.04, 0.05),
        (BY_LINES, ("another", "layer", "latency_s"), 0.04, 0.05),
    ],
)
def test_a_quantity_has_the_tolerance_that_is_set_for_it(tolerances, quantity, effect, margin):
    found = tolerances.tolerance(*quantity)
    assert (found.minimum_effect, found.equivalence_margin) == (effect, margin)
    assert tolerances.operators == "fail"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"floor": -0.01}, "floor must be a share from 0 to below 1"),
        ({"floor": 2}, "got 2"),
        ({"floor": True}, "got True"),
        ({"target": "5%"}, "target must be a share"),
        ({"target": float("nan")}, "got nan"),
        ({"flor": 0.02}, "may name floor, target, metrics, cases, operators; got flor"),
        ({"metrics": {"latency": 0.1}}, "may name latency_s"),
        ({"metrics": {"peak_bytes": 0.1}}, "got peak_bytes"),
        ({"metrics": [1]}, "metrics must hold names and values"),
        ({"cases": {"case": "x"}}, "cases must be a list"),
        ({"cases": [{"floor": 0.1}]}, r"cases\[0\] must have a case"),
        ({"cases": [{"case": "x"}]}, "a floor or a target"),
        ({"cases": [{"case": 3, "floor": 0.1}]}, r"cases\[0\].case must be a text"),
        ({"cases": [{"case": "x", "metric": "flops", "floor": 0.1}]}, "others are exact"),
        ({"cases": [{"case": "x", "floor": -1}]}, r"cases\[0\].floor must be a share"),
        ({"operators": "ignore"}, "operators must be one of fail, show; got 'ignore'"),
        (["floor"], "must hold names and values"),
        (None, "must hold names and values"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(settings, said):
    with pytest.raises(ValueError, match=said) as refusal:
        Tolerances.from_settings(settings)
    assert "\n" not in str(refusal.value)
