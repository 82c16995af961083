"""What the page rules of each claim on RL, from runs whose numbers can be added up by hand."""

import numpy as np
import pytest

from suite.report.answers.claims import claims, verdicts_on
from suite.report.page.texts import load_texts
from tests.report.quality_records import in_memory
from tests.report.rl.runs import fed, named, run, staged, thinking
from tests.report.rl_memory_records import memory_record

EN = load_texts("en")
CLAIMS = {claim["id"] for claim in claims() if ".answers.rl." in claim["decided_by"]}
HIGH, MIDDLE, LOW = [0.90, 0.92, 0.91, 0.90, 0.92], [0.70, 0.71, 0.69, 0.70, 0.70], [0.50, 0.51, 0.49, 0.50, 0.50]
NEAR = [0.90, 0.93, 0.90, 0.90, 0.92]
"""Less HIGH: 0, 1, -1, 0, 0 points, so the interval is -0.88 to +0.88, within two points."""
SUPPORTED, CONTRADICTED, OPEN, NONE = "supported", "contradicted", "no clear difference", "not measured here"
EQUAL, UNTESTED = "no difference that matters", "these runs cannot tell"
BARE = [named(run([0.1, 0.2]), recipe="sft")]
"""A record of RL that bears on no claim but the one of samples."""


def verdict_on(claim, *records):
    return verdicts_on(in_memory(*records), claim).get(claim)


def ruling(claim, *records):
    """The verdict's word, and the numbers behind it."""
    found = verdict_on(claim, *records)
    if found is None:
        return NONE, ""
    return EN.render(found.word), " ".join(map(EN.render, found.evidence))


def finals(algorithm, values, extras=None, **axes):
    records = [run([0.1, 0.2, value], algorithm=algorithm, seed=seed, **axes) for seed, value in enumerate(values)]
    return [named(record, **extras) for record in records] if extras else records


def paid(algorithm, seconds):
    return [
        run([0.1, 0.2, 0.9], algorithm=algorithm, seed=seed, cpu_s=(0.25, 0.25, spent))
        for seed, spent in enumerate(seconds)
    ]


def falling(algorithm, values):
    return [run([0.1, 0.9, value], algorithm=algorithm, seed=seed) for seed, value in enumerate(values)]


def recipe(name, values, **axes):
    return [staged(name, [0.0, 0.1, value], "rl", seed=seed, **axes) for seed, value in enumerate(values)]


def thoughts(algorithm, last, corrections=(0.5, 0.5, 0.5)):
    return [
        thinking([10.0, 10.0, length], [0.1, 0.2, 0.6], list(corrections), algorithm=algorithm, seed=seed)
        for seed, length in enumerate(last)
    ]


FALLEN = [0.02, 0.03, 0.01, 0.02, 0.02]
"""Below the 10 % that every run of these begins with."""
FAST, SLOW = [0.25, 0.26, 0.24, 0.25, 0.25], [0.5, 0.51, 0.49, 0.5, 0.52]
LONG, SHORT = [14.0, 15.0, 14.5, 14.0, 15.0], [6.0, 5.0, 5.5, 6.0, 5.0]
GIB = 1 << 30
CASES = {
    "grpo-cheaper": (
        lambda few: [*paid("grpo", FAST[few:]), *paid("ppo", SLOW)],
        lambda few: [*paid("grpo", SLOW[few:]), *paid("ppo", FAST)],
    ),
    "grpo-sample-efficient": (
        lambda few: [*finals("grpo", HIGH[few:]), *finals("ppo", LOW)],
        lambda few: [*finals("grpo", LOW[few:]), *finals("ppo", HIGH)],
    ),
    "grpo-stable": (
        lambda few: [*falling("grpo", HIGH[few:]), *falling("ppo", [0.3, 0.5, 0.7, 0.4, 0.6])],
        lambda few: [*falling("grpo", LOW[few:]), *falling("ppo", HIGH)],
    ),
    "accuracy-and-format-rewards": (
        lambda few: finals("grpo", HIGH[few:], {"format_weight": 0.1}),
        lambda few: finals("grpo", FALLEN[few:], {"format_weight": 0.1}),
    ),
    "grpo-no-labels": (
        lambda few: [*fed("reward_source", "majority", HIGH[few:]), *finals("grpo", HIGH)],
        lambda few: [*fed("reward_source", "majority", FALLEN[few:]), *finals("grpo", HIGH)],
    ),
    "r1-zero-without-sft": (
        lambda few: [*recipe("r1_zero", HIGH[few:]), *recipe("base", LOW)],
        lambda few: [*recipe("r1_zero", LOW[few:]), *recipe("base", HIGH)],
    ),
    "cold-start-helps": (
        lambda few: [*recipe("r1_zero", LOW), *recipe("cold_start", HIGH[few:])],
        lambda few: [*recipe("r1_zero", HIGH), *recipe("cold_start", LOW[few:])],
    ),
    "distillation-lifts-small-models": (
        lambda few: [*recipe("r1_zero", LOW), *recipe("distill", HIGH[few:])],
        lambda few: [*recipe("r1_zero", HIGH), *recipe("distill", LOW[few:])],
    ),
    "stages-add": (
        lambda few: [*recipe("base", LOW), *recipe("sft", MIDDLE), *recipe("cold_start", HIGH[few:])],
        lambda few: [*recipe("sft", MIDDLE), *recipe("cold_start", LOW[few:])],
    ),
    "filtering-and-preference": (
        lambda few: [*recipe("r1", HIGH), *recipe("r1_unfiltered", LOW[few:])],
        lambda few: [*recipe("r1", LOW[few:]), *recipe("r1_unfiltered", HIGH)],
    ),
    "self-evolution": (
        lambda few: thoughts("grpo", LONG[few:], (0.1, 0.2, 0.6)),
        lambda few: thoughts("grpo", SHORT[few:], (0.6, 0.2, 0.1)),
    ),
    "grpo-shorter-solutions": (
        lambda few: thoughts("grpo", SHORT[few:]),
        lambda few: thoughts("grpo", LONG[few:]),
    ),
    "cost-decides": (
        # At 1 and at 2 CPU seconds a step; PPO's accuracy after one step stands at GRPO's two.
        lambda few: [*costly("ppo", 0.4, HIGH), *costly("grpo", 0.6, MIDDLE[few:], cpu_s=(0.1, 0.1, 0.3))],
        lambda few: [*costly("ppo", 0.4, HIGH), *costly("grpo", 0.1, LOW[few:])],
    ),
}
"""Records for and against each claim, of as many seeds as `few` leaves; but of those that rest on a formula."""


def costly(algorithm, middle, values, **more):
    return [run([0.1, middle, value], algorithm=algorithm, seed=seed, **more) for seed, value in enumerate(values)]


@pytest.mark.parametrize("claim", CASES)
def test_a_claim_is_ruled_for_against_or_needs_more_runs(claim):
    supporting, against = CASES[claim]
    assert ruling(claim, *supporting(0))[0] == SUPPORTED
    # On one device a price turns no order round, which is no evidence that none would.
    assert ruling(claim, *against(0))[0] == (OPEN if claim == "cost-decides" else CONTRADICTED)
    for records in (supporting, against):
        assert ruling(claim, *records(2))[0] == UNTESTED


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_claim_on_rl_without_its_records_has_no_verdict(claim):
    assert verdict_on(claim, *BARE) is None


def test_each_claim_on_rl_is_tested():
    assert {*CASES, "grpo-step-feedback"} == CLAIMS


def test_one_policy_is_sampled_by_definition():
    assert ruling("grpo-compares-samples", *BARE)[0] == "contradicted by the definition"


def test_step_feedback_depends_on_the_supervision():
    outcome = fed("supervision", "outcome", LOW)
    verdict, sentence = ruling("grpo-step-feedback", *outcome, *fed("supervision", "process", HIGH))
    assert verdict == "depends on the supervision"
    assert "gives every token of a completion the same advantage" in sentence
    assert ruling("grpo-step-feedback", *outcome, *fed("supervision", "process", LOW))[0] == EQUAL
    assert ruling("grpo-step-feedback", *outcome, *fed("supervision", "process", HIGH[:3]))[0] == UNTESTED


def crossed(weight, **values):
    extras = {"format_weight": weight, "use_kl_in_reward": False}
    return [
        *finals("grpo", values["group"], extras | {"scale_rewards": "group"}),
        *finals("grpo", values["batch"], extras | {"scale_rewards": "batch"}),
        *finals("ppo", MIDDLE, extras | {"scale_rewards": None}),
    ]


def test_another_setting_moves_the_answer_and_decides_nothing():
    verdict = verdict_on("grpo-sample-efficient", *crossed(0.1, group=LOW, batch=HIGH))
    assert EN.render(verdict.word) == CONTRADICTED
    assert verdict.lead.value == pytest.approx(-0.2)
    flips = EN.render(verdict.flips)
    assert "with reward scaling = batch it changes by +41.0" in flips
    alike = verdict_on("grpo-sample-efficient", *crossed(0.1, group=LOW, batch=LOW))
    assert "None of 1 other settings tried clearly moves the difference" in EN.render(alike.flips)


def test_a_setting_is_held_against_the_same_cell_without_it():
    records = [*crossed(0.1, group=LOW, batch=HIGH), *crossed(1, group=HIGH, batch=HIGH)]
    flips = EN.render(verdict_on("grpo-sample-efficient", *records).flips)
    assert "with reward scaling = batch it changes by +20.5" in flips  # the mean of 41 and 0 points


def test_a_loss_that_is_not_clear_contradicts_nothing():
    """Less by 5, 1, 2, 0 and 3 points: −4.6 to +0.2, which rules out a gain of two points and no more."""
    behind = [high - less for high, less in zip(HIGH, (0.05, 0.01, 0.02, 0.0, 0.03), strict=True)]
    assert ruling("grpo-sample-efficient", *finals("grpo", behind), *finals("ppo", HIGH))[0] == "at most a small effect"


def test_settings_that_never_differ_alone_are_named_together():
    def at(kl_type, in_reward, values):
        extras = {"kl_type": kl_type, "use_kl_in_reward": in_reward}
        return [*finals("grpo", values, extras), *finals("ppo", MIDDLE, extras)]

    flips = EN.render(verdict_on("grpo-sample-efficient", *at("k1", True, HIGH), *at("k3", False, LOW)).flips)
    assert "KL estimator" in flips
    assert "KL in the reward" in flips


def test_what_nothing_differs_in_is_contradicted_by_nothing():
    """Twelve settings, of which none matters: neither the verdict nor what moves it names a difference."""
    generator = np.random.default_rng(1)
    records = [
        record
        for weight in range(12)
        for algorithm in ("grpo", "ppo")
        for record in finals(algorithm, list(generator.uniform(0.4, 0.6, 10)), {"format_weight": weight / 10})
    ]
    verdict = verdict_on("grpo-sample-efficient", *records)
    assert EN.render(verdict.word) == OPEN
    assert "None of 11 other settings" in EN.render(verdict.flips)


def test_arms_at_other_settings_are_not_compared():
    apart = [*finals("grpo", HIGH, {"format_weight": 1}), *finals("ppo", LOW, {"format_weight": 0})]
    assert ruling("grpo-sample-efficient", *apart)[0] == NONE
    assert ruling("grpo-sample-efficient", *finals("grpo", HIGH, lr=1e-3), *finals("ppo", LOW))[0] == NONE
    trials = [*finals("grpo", HIGH, {"trial": 1}), *finals("ppo", LOW, {"trial": 1})]
    assert ruling("grpo-sample-efficient", *trials)[0] == NONE


def test_a_claim_depends_on_the_task_where_tasks_differ():
    sort = [*recipe("r1_zero", LOW), *recipe("distill", HIGH)]
    other = [*recipe("r1_zero", HIGH, task="addition"), *recipe("distill", LOW, task="addition")]
    assert ruling("distillation-lifts-small-models", *sort, *other)[0] == "depends on the task"
    few = [*recipe("r1_zero", HIGH[:3], task="addition"), *recipe("distill", LOW[:3], task="addition")]
    assert ruling("distillation-lifts-small-models", *sort, *few)[0] == SUPPORTED
    flips = EN.render(verdict_on("distillation-lifts-small-models", *sort, *other).flips)
    assert "sort +41.0" in flips
    assert "addition -41.0" in flips


def test_the_estimate_is_the_mean_over_tasks():
    sort = [*recipe("r1_zero", LOW), *recipe("distill", HIGH)]
    other = [*recipe("r1_zero", LOW, task="addition"), *recipe("distill", MIDDLE, task="addition")]
    verdict = verdict_on("distillation-lifts-small-models", *sort, *other)
    assert verdict.lead.value == pytest.approx((0.41 + 0.20) / 2)
    assert EN.render(verdict.lead.count) == "10 pairs of seeds"


def test_a_smaller_peak_is_cheaper_whatever_no_seed_says():
    def peak(algorithm, size, **more):
        return memory_record({"update": {("policy", "parameters"): size * GIB}}, algorithm=algorithm, **more)

    verdict, sentence = ruling("grpo-cheaper", peak("grpo", 6), peak("ppo", 10))
    assert verdict == SUPPORTED
    assert "in 1 of 1 cases, and saves 40 % of it" in sentence
    assert ruling("grpo-cheaper", peak("grpo", 11), peak("ppo", 10))[0] == CONTRADICTED
    slower = [*paid("grpo", SLOW), *paid("ppo", FAST)]
    verdict, sentence = ruling("grpo-cheaper", peak("grpo", 6), peak("ppo", 10), *slower)
    assert verdict == SUPPORTED
    assert "GRPO minus PPO +25.40 s" in sentence


def test_a_price_gives_each_run_its_cost():
    records = CASES["cost-decides"][1](0)
    assert "No record gives price_per_device_hour" in ruling("cost-decides", *records)[1]
    for record in records:
        record.settings["price_per_device_hour"] = 1800.0
    assert "PPO 2 (2 to 2), n = 5" in ruling("cost-decides", *records)[1]


def lead_on(claim, *records):
    found = verdict_on(claim, *records)
    return EN.render(found.lead.about), EN.render(found.lead.written), found.lead.ends


def test_a_verdict_leads_with_its_number_and_interval():
    about, written, ends = lead_on("grpo-sample-efficient", *CASES["grpo-sample-efficient"][0](0))
    assert about == "GRPO minus PPO: accuracy at equal completions (sort · small)"
    assert written == "+41.0 points"
    assert ends[0] < 0.41 < ends[1]
    about, *_ = lead_on("r1-zero-without-sft", *CASES["r1-zero-without-sft"][0](0))
    assert about == "R1-Zero minus Base: accuracy at equal steps (sort · small)"


def test_few_seeds_suffice_for_no_verdict():
    supporting, _ = CASES["grpo-sample-efficient"]
    assert verdict_on("grpo-sample-efficient", *supporting(0)).suffices
    assert not verdict_on("grpo-sample-efficient", *supporting(2)).suffices


def test_the_plainest_settings_lead_whatever_they_say():
    def at(weight, values):
        extras = {"format_weight": weight}
        return [*finals("grpo", values, extras), *finals("ppo", LOW, extras)]

    plain = [*finals("grpo", LOW), *finals("ppo", LOW)]
    _, written, _ = lead_on("grpo-sample-efficient", *plain, *at(0.2, HIGH), *at(0.3, MIDDLE))
    assert written == "+0.0 points"


def test_memory_leads_with_the_share_that_grpo_holds():
    def peak(algorithm, size, geometry="llama-3.1-8b"):
        parts = {("policy", "parameters"): size * GIB}
        return memory_record({"update": parts}, algorithm=algorithm, geometry=geometry)

    found = verdict_on("grpo-cheaper", peak("grpo", 6), peak("ppo", 10))
    assert (found.lead.value, found.lead.neutral, found.is_projected, found.machine) == (0.6, 1.0, True, "")
    assert EN.render(found.lead.written) == "60 % of PPO’s"
    assert EN.render(found.flips).startswith("GRPO saves memory in 1 of 1 cases")
