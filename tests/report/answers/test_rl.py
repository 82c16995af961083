"""What the page rules of each claim on RL, from runs whose numbers can be added up by hand."""

from functools import partial

import numpy as np
import pytest

from suite.report.answers.claims import claims
from tests.report.answers.ruled import EN, ruling, verdict_on
from tests.report.rl.runs import fed, named, run, staged, thinking
from tests.report.rl_memory_records import memory_record

CLAIMS = {claim["id"] for claim in claims() if ".answers.rl." in claim["decided_by"]}
HIGH, MIDDLE, LOW = [0.90, 0.92, 0.91, 0.90, 0.92], [0.70, 0.71, 0.69, 0.70, 0.70], [0.50, 0.51, 0.49, 0.50, 0.50]
NEAR = [0.90, 0.93, 0.90, 0.90, 0.92]
"""Less HIGH: 0, 1, -1, 0, 0 points, so the interval is -0.88 to +0.88, within two points."""
SUPPORTED, CONTRADICTED, OPEN, UNDECIDED = "supported", "contradicted", "no clear difference", "undecided"
EQUAL, UNTESTED = "no relevant difference", "cannot be decided from these runs"
BARE = [named(run([0.1, 0.2]), recipe="sft")]
"""A record of RL that bears on no claim but the one of samples."""


def finals(algorithm, values, extras=None, middle=None, **axes):
    """Curves of two steps that end at these values; by default they are as high after one."""
    curves = [[0.1, value if middle is None else middle, value] for value in values]
    records = [run(curve, algorithm=algorithm, seed=seed, **axes) for seed, curve in enumerate(curves)]
    return [named(record, **extras) for record in records] if extras else records


def paid(algorithm, seconds):
    return [
        run([0.1, 0.2, 0.9], algorithm=algorithm, seed=seed, cpu_s=(0.25, 0.25, spent))
        for seed, spent in enumerate(seconds)
    ]


def falling(algorithm, values):
    return finals(algorithm, values, middle=0.9)


def recipe(name, values, **axes):
    return [staged(name, [0.0, 0.1, value], "rl", seed=seed, **axes) for seed, value in enumerate(values)]


def thoughts(algorithm, last):
    return [
        thinking([10.0, 10.0, length], [0.1, 0.2, 0.6], [0.5] * 3, algorithm=algorithm, seed=seed)
        for seed, length in enumerate(last)
    ]


FALLEN = [0.02, 0.03, 0.01, 0.02, 0.02]
"""Below the 10% that every run of these begins with."""
FAST, SLOW = [0.25, 0.26, 0.24, 0.25, 0.25], [0.5, 0.51, 0.49, 0.5, 0.52]
LONG, SHORT = [14.0, 15.0, 14.5, 14.0, 15.0], [6.0, 5.0, 5.5, 6.0, 5.0]
GIB = 1 << 30


def costly(algorithm, values):
    """At 1 CPU second a step PPO needs two steps to be where GRPO is after one of half a second."""
    middle, seconds = ([0.3, 0.6], (0.25, 0.25, 0.5)) if algorithm == "ppo" else ([0.5, 0.5], (0.1, 0.1, 0.3))
    curves = [[0.1, *middle, value] for value in values]
    return [run(curve, algorithm=algorithm, seed=seed, cpu_s=seconds) for seed, curve in enumerate(curves)]


def sides(ours, theirs=lambda _: [], better=HIGH, worse=LOW):
    """Records for and against a claim that the first arm is better, of as many seeds as `few` leaves."""
    return (lambda few: [*ours(better[few:]), *theirs(worse)], lambda few: [*ours(worse[few:]), *theirs(better)])


def recipes(ours, theirs):
    return sides(partial(recipe, ours), partial(recipe, theirs))


CASES = {
    "grpo-cheaper": sides(partial(paid, "grpo"), partial(paid, "ppo"), FAST, SLOW),
    "grpo-sample-efficient": sides(partial(finals, "grpo"), partial(finals, "ppo")),
    "grpo-stable": sides(partial(falling, "grpo"), partial(falling, "ppo"), HIGH, [0.3, 0.5, 0.7, 0.4, 0.6]),
    "accuracy-and-format-rewards": sides(partial(finals, "grpo", extras={"format_weight": 0.1}), worse=FALLEN),
    "grpo-no-labels": sides(partial(fed, "reward_source", "majority"), lambda _: finals("grpo", HIGH), worse=FALLEN),
    "r1-zero-without-sft": recipes("r1_zero", "base"),
    "cold-start-helps": recipes("cold_start", "r1_zero"),
    "distillation-lifts-small-models": recipes("distill", "r1_zero"),
    "stages-add": recipes("cold_start", "sft"),
    "filtering-and-preference": recipes("r1", "r1_unfiltered"),
    "self-evolution": sides(partial(thoughts, "grpo"), better=LONG, worse=SHORT),
    "grpo-shorter-solutions": sides(partial(thoughts, "grpo"), better=SHORT, worse=LONG),
    "cost-decides": (
        lambda few: [*costly("ppo", HIGH), *costly("grpo", MIDDLE[few:])],
        lambda few: [*costly("ppo", LOW), *costly("grpo", HIGH[few:])],
    ),
}
"""But of the claim that rests on a formula."""


@pytest.mark.parametrize("claim", CASES)
def test_a_claim_is_ruled_for_against_or_needs_more_runs(claim):
    supporting, against = CASES[claim]
    assert ruling(claim, *supporting(0))[0] == SUPPORTED
    # On one device a price turns no order round, which is no evidence that none would.
    assert ruling(claim, *against(0))[0] == (UNDECIDED if claim == "cost-decides" else CONTRADICTED)
    assert verdict_on(claim, *supporting(0)).suffices
    for records in (supporting(2), against(2)):
        assert ruling(claim, *records)[0] == UNTESTED
        assert not verdict_on(claim, *records).suffices


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_claim_on_rl_without_its_records_has_no_verdict(claim):
    assert claim in CASES or claim == "grpo-step-feedback"
    assert verdict_on(claim, *BARE) is None


def test_a_format_that_is_a_gate_is_paid_for_too():
    gate = {"format_reward": "gate", "format_weight": None}
    assert ruling("accuracy-and-format-rewards", *finals("grpo", HIGH, gate))[0] == SUPPORTED
    assert verdict_on("accuracy-and-format-rewards", *finals("grpo", HIGH, {"format_weight": 0})) is None


def test_step_feedback_depends_on_the_supervision():
    outcome = fed("supervision", "outcome", LOW)
    rulings = [ruling("grpo-step-feedback", *outcome, *fed("supervision", "process", x)) for x in (HIGH, LOW, HIGH[:3])]
    assert [word for word, _ in rulings] == ["depends on the supervision", EQUAL, UNTESTED]


def cell(values, **extras):
    """GRPO beside PPO, which has no reward scaling, at these settings."""
    of_ppo = extras | ({"scale_rewards": None} if "scale_rewards" in extras else {})
    return [*finals("grpo", values, extras), *finals("ppo", MIDDLE, of_ppo)]


def scaled(weight, group, batch):
    settings = {"format_weight": weight, "use_kl_in_reward": False}
    return [*cell(group, scale_rewards="group", **settings), *cell(batch, scale_rewards="batch", **settings)]


UNTRIED = "No other setting was tried"


@pytest.mark.parametrize(
    ("records", "change"),
    [
        (scaled(0.1, LOW, HIGH), "With reward scaling = batch, the difference changes by +41.0"),
        (scaled(0.1, LOW, LOW), "None of the 1 other settings that were tried clearly changes the difference"),
        # Held against the same cell without it: the mean of 41 and 0 points.
        (
            [*scaled(0.1, LOW, HIGH), *scaled(1, HIGH, HIGH)],
            "With reward scaling = batch, the difference changes by +20.5",
        ),
        # Settings that change together are named together, and one that does not apply any more is not.
        (
            [*cell(LOW, kl_type="k3", use_kl_in_reward=False), *cell(HIGH, kl_type="k1", use_kl_in_reward=True)],
            "With KL estimator = k1 and KL in the reward = true, the difference changes",
        ),
        (
            [*cell(LOW, format_weight=0.1), *cell(HIGH, format_weight=None, format_reward="gate")],
            "With format reward = gate, the difference changes by +41.0",
        ),
        (cell(LOW), UNTRIED),
        # What conf/claims.yaml does not list is no setting that an answer is tried against.
        ([*cell(LOW, grad_clip=1.0), *cell(HIGH, grad_clip=2.0)], UNTRIED),
    ],
)
def test_other_settings_move_an_answer_and_decide_nothing(records, change):
    verdict = verdict_on("grpo-sample-efficient", *records)
    assert change in EN.render(verdict.flips)
    assert verdict.lead.value == pytest.approx(-0.2)


def test_a_loss_that_is_not_clear_contradicts_nothing():
    """Less by 5, 1, 2, 0 and 3 points: −4.6 to +0.2, which rules out a gain of two points and no more."""
    behind = [high - less for high, less in zip(HIGH, (0.05, 0.01, 0.02, 0.0, 0.03), strict=True)]
    assert ruling("grpo-sample-efficient", *finals("grpo", behind), *finals("ppo", HIGH))[0] == "at most a small effect"


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
    assert "None of the 11 other settings" in EN.render(verdict.flips)


@pytest.mark.parametrize(
    "apart",
    [
        [*finals("grpo", HIGH, {"format_weight": 1}), *finals("ppo", LOW, {"format_weight": 0})],
        [*finals("grpo", HIGH, lr=1e-3), *finals("ppo", LOW)],
        [*finals("grpo", HIGH, {"trial": 1}), *finals("ppo", LOW, {"trial": 1})],
    ],
    ids=["format", "rate", "trials of a tuning sweep"],
)
def test_arms_at_other_settings_are_not_compared(apart):
    assert verdict_on("grpo-sample-efficient", *apart) is None


def distilled(zero, distill, **axes):
    return [*recipe("r1_zero", zero, **axes), *recipe("distill", distill, **axes)]


def test_an_estimate_is_the_mean_over_tasks_that_agree():
    claim, sort = "distillation-lifts-small-models", distilled(LOW, HIGH)
    lead = verdict_on(claim, *sort, *distilled(LOW, MIDDLE, task="addition")).lead
    assert (lead.value, EN.render(lead.count)) == (pytest.approx((0.41 + 0.20) / 2), "10 pairs of seeds")
    contrary = verdict_on(claim, *sort, *distilled(HIGH, LOW, task="addition"))
    assert EN.render(contrary.word) == "depends on the task"
    assert all(side in EN.render(contrary.flips) for side in ("+41.0", "-41.0", "with sort", "with addition"))
    assert ruling(claim, *sort, *distilled(HIGH[:3], LOW[:3], task="addition"))[0] == SUPPORTED


TASKS = ["sort", "addition", "postfix", "countdown", "copying"]


@pytest.mark.parametrize(
    ("count", "scope"),
    [
        (3, "The interval of the mean holds for these tasks only."),
        (5, "The interval of the mean holds for tasks like these, because it includes how much they differ."),
    ],
)
def test_of_five_tasks_or_more_sentences_are_about_others(count, scope):
    records = [record for task in TASKS[:count] for record in distilled(LOW, HIGH, task=task)]
    verdict = verdict_on("distillation-lifts-small-models", *records)
    assert scope in EN.render(verdict.evidence[0])
    assert verdict.pairs == 5 * count


def test_a_forest_draws_units_and_their_mean():
    """41, 20 and 0 points; in a fourth task, which is left out, there are three pairs."""
    last = {"addition": NEAR, "postfix": MIDDLE, "sort": LOW, "tally": HIGH[:3]}
    records = [record for task, values in last.items() for record in distilled(LOW, values, task=task)]
    forest = verdict_on("distillation-lifts-small-models", *records).forests[0]
    (view,) = forest.views
    units, left_out, mean = view.figure["data"]
    assert units["x"] == pytest.approx([41, 20, 0])
    assert units["error_x"]["array"][0] > 0
    assert (left_out["y"], left_out["marker"]["symbol"]) == ([3], "circle-open")
    assert (mean["y"], mean["marker"]["symbol"]) == ([4], "diamond")
    assert mean["x"] == pytest.approx([61 / 3], rel=1e-4)
    assert "the same difference: p < 0.001." in EN.render(forest.caption)


def test_a_forest_needs_two_tasks():
    records = [list(distilled(LOW, HIGH, task=task)) for task in TASKS[:2]]
    assert verdict_on("distillation-lifts-small-models", *records[0]).forests == []
    assert verdict_on("distillation-lifts-small-models", *records[0], *records[1]).forests != []


def peak(algorithm, size):
    parts = {("policy", "parameters"): size * GIB}
    return memory_record({"update": parts}, algorithm=algorithm, geometry="llama-3.1-8b")


def test_a_smaller_peak_is_cheaper_whatever_seconds_say():
    verdict = verdict_on("grpo-cheaper", peak("grpo", 6), peak("ppo", 10), *paid("grpo", SLOW), *paid("ppo", FAST))
    assert (EN.render(verdict.word), verdict.is_projected) == (SUPPORTED, True)
    assert (verdict.lead.value, verdict.lead.neutral) == (0.6, 1.0)
    dearer = verdict_on("grpo-cheaper", peak("grpo", 11), peak("ppo", 10))
    assert (EN.render(dearer.word), dearer.machine) == (CONTRADICTED, "")


def test_the_largest_model_with_a_reference_leads_on_memory():
    """Of a 70B model GRPO takes half of PPO's peak, or 60% with the reference model that PPO holds too."""

    def held(algorithm, gib, model="llama-3.1-70b", has_reference=True):
        parts = {("policy", "parameters"): gib * GIB} | ({("reference", "parameters"): 1.0} if has_reference else {})
        facts = {"parameters": 70e9 if "70b" in model else 8e9, "kl_coef": 0.04 if has_reference else 0.0}
        return memory_record({"update": parts}, algorithm=algorithm, geometry=model, **facts)

    small = [held("grpo", 9, "llama-3.1-8b"), held("ppo", 10, "llama-3.1-8b")]
    large = [held("grpo", 100, has_reference=False), held("grpo", 120), held("ppo", 200)]
    assert verdict_on("grpo-cheaper", *small, *large).lead.value == pytest.approx(0.6)


def sums(digits, grpo, task="addition"):
    extras = {"task.digits": digits}
    return [*finals("grpo", grpo, extras, task=task), *finals("ppo", MIDDLE, extras, task=task)]


def test_sizes_of_one_task_are_averaged_and_count_once():
    """By hand: GRPO gains 21 points on sums of both sizes and nothing on sorting; as three draws it would be 14."""
    verdict = verdict_on("grpo-sample-efficient", *sums(2, HIGH), *sums(3, HIGH), *sums(4, MIDDLE, task="sort"))
    assert "mean of 2 tasks" in EN.render(verdict.lead.about)
    assert verdict.lead.value == pytest.approx(0.105, abs=1e-3)


def test_a_mean_that_one_size_undoes_depends_on_the_task():
    assert ruling("grpo-sample-efficient", *sums(2, HIGH), *sums(3, HIGH))[0] == SUPPORTED
    assert ruling("grpo-sample-efficient", *sums(2, HIGH), *sums(3, MIDDLE))[0] == "depends on the task"


def test_a_mean_that_one_task_undoes_names_it():
    verdict = verdict_on("grpo-sample-efficient", *sums(2, HIGH), *sums(4, MIDDLE, task="sort"))
    assert EN.render(verdict.word) == "depends on the task"
    assert "For addition · 2 digits: clearly higher. For sort · 4 digits: no" in EN.render(verdict.flips)


def test_a_usual_option_that_turns_the_sign_is_named():
    batch = {"scale_rewards": "batch"}
    records = [*finals("grpo", LOW), *finals("ppo", MIDDLE), *finals("grpo", HIGH, batch)]
    verdict = verdict_on("grpo-sample-efficient", *records)
    assert EN.render(verdict.word) == "depends on reward scaling"


def test_a_price_gives_each_run_its_cost():
    records = CASES["cost-decides"][1](0)
    assert "No record gives price_per_device_hour" in ruling("cost-decides", *records)[1]
    for record in records:
        record.settings["price_per_device_hour"] = 1800.0
    assert "PPO 3 (3 to 3), n = 5" in ruling("cost-decides", *records)[1]


def test_the_plainest_settings_lead_whatever_they_say():
    records = [*cell(MIDDLE), *cell(HIGH, format_weight=0.2), *cell(LOW, format_weight=0.3)]
    assert EN.render(verdict_on("grpo-sample-efficient", *records).lead.written) == "+0.0 points"
