"""Changes against stored runs: what few runs, no spread and a busy hour do to a judgement."""

import math

import pytest

from suite.gate.rules import multiple_testing
from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import Outcome


def verdict_on(shift, *, error, deviations=()):
    """By nine degrees of freedom, or with deviations as stored runs have them, by those that they show."""
    change = multiple_testing.TestedChange(
        case="a",
        span="layer",
        metric="latency_s",
        before=1.0,
        after=math.exp(shift),
        shift=shift,
        error=error,
        freedom=9,
        values="1 s → 2 s",
        runs="stored runs",
        signed_margin=False,
        launches=3,
        clock="wall_s",
        deviations=deviations,
    )
    (verdict,) = multiple_testing.judge_together([change], Tolerances())
    return verdict


def test_three_stored_runs_are_judged_by_the_heaviest_tails():
    """Student's t with two degrees of freedom is below 6.965 in 99 of 100 draws."""
    assert verdict_on(0.0, error=0.01, deviations=(1.0, -1.0, 0.5)).high == pytest.approx(math.exp(0.06965), rel=1e-4)


def test_without_any_spread_every_change_is_certain():
    assert verdict_on(0.1, error=0.0).outcome is Outcome.SLOWER
    assert verdict_on(0.0, error=0.0).outcome is Outcome.SAME


def test_only_an_hour_that_may_be_busy_is_named():
    """One timing alone may have been taken in a busy hour; a paired one has none."""
    stored, paired = (verdict_on(0.1, error=0.2, deviations=runs) for runs in ((1.0, -1.0, 0.5, 0.2), ()))
    assert stored.outcome is paired.outcome is Outcome.INCONCLUSIVE
    assert ["busy hour" in verdict.reason for verdict in (stored, paired)] == [True, False]
