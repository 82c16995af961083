"""How old and how coarse rollouts may be."""

from suite.report.rl import design, efficiency, rollouts
from tests.report.quality_records import in_memory
from tests.report.rl.runs import named, run, section_of, titled

TABLE = "Rollouts of another policy compared with exact ones"
EXACT = [0.90, 0.92, 0.88, 0.91, 0.89]


def sampled_by(finals, *, kl=None, **settings):
    more = {} if kl is None else {"rollout_kl": kl}
    return [named(run([0.1, 0.5, final], seed=seed, more=more), **settings) for seed, final in enumerate(finals)]


def study():
    lower = [final - 0.4 for final in EXACT]
    unchanged = [final + change for final, change in zip(EXACT, (0.001, -0.001, 0.0, 0.001, -0.001), strict=True)]
    return [
        *sampled_by(EXACT),
        *sampled_by(lower, rollout_lag=8, kl=0.25),
        *sampled_by(unchanged, rollout_lag=8, rollout_correction="token_tis"),
        *sampled_by(lower, rollout_cache_dtype="fp8", rollout_correction="of_tomorrow"),
    ]


def test_each_arm_is_compared_with_exact_rollouts():
    coarse, old, corrected = titled(section_of(rollouts, *study()), TABLE)
    assert [row["Rollouts"] for row in (coarse, old, corrected)] == ["with fp8 cache", "8 steps old", "8 steps old"]
    names = ["of_tomorrow", "no correction", "token truncation (TIS)"]
    assert [row["Correction"] for row in (coarse, old, corrected)] == names
    assert [row["Verdict"] for row in (coarse, old)] == ["lower", "lower"]
    assert corrected["Verdict"] == "no relevant difference (within 2 points)"
    assert (old["Difference (points)"], old["KL a token (nats)"], coarse["KL a token (nats)"]) == (
        "-40.0 (-40.0 to -40.0)",
        "0.25",
        "–",
    )


def test_other_rollouts_do_not_speak_for_an_algorithm():
    layout = design.layout(in_memory(*study()))
    assert [len(arm.runs) for experiment in layout.algorithms for arm in experiment.arms] == [5]
    assert section_of(efficiency, *study()) is not None


def test_without_exact_rollouts_beside_them_there_is_no_section():
    assert rollouts.build(in_memory(*sampled_by(EXACT))) is None
    assert rollouts.build(in_memory(*sampled_by(EXACT, rollout_lag=2))) is None
