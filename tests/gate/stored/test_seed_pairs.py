"""Workloads that are judged by seed: an arm is judged over runs paired by it, and is never green by absence."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from suite.configuration.files import choices
from suite.gate.output.files import write_judgement
from suite.gate.output.sentences import advice
from suite.gate.rules.acceptances import accept
from suite.gate.rules.fingerprint import is_judged_by_seed
from suite.gate.rules.multiple_testing import judge_together
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.pairing import check_can_be_timed
from suite.gate.stored.case import StoredRun
from suite.gate.stored.folders import judge_stored
from suite.gate.stored.seed_arms import by_arm, judge_arm
from suite.gate.stored.seed_pairs import (
    BY_HELDOUT_ACCURACY,
    Judging,
    TakenValue,
    compare_pairs,
    judging_of,
    loss_per_token,
)
from suite.gate.verdict import Outcome
from suite.records.record import Reading, Status
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from suite.report.runs.gate import build as build_section
from tests.gate.seed_runs import ARM, arm, rl_run, timed
from tests.gate.side_by_side.test_pairing import case
from tests.gate.stored_runs import five, run, stored
from tests.report.quality_records import quality_record
from tests.report.reading import rows_of

USUAL = (0.78, 0.71, 0.80, 0.74, 0.77)
APART = (0.2, 0.8, 0.5, 0.35, 0.65)
NOISE = (0.10, -0.09, 0.08, -0.10, 0.01)
FALL = (-0.1, -0.11, -0.09, -0.1, -0.1)
SHIPPED = Tolerances.load()
QUANTITIES = (*BY_HELDOUT_ACCURACY.learnt, BY_HELDOUT_ACCURACY.spent)
COST = "rollout+score+update"
TODAY = datetime.date(2026, 3, 1)
ELSEWHERE = {"environment": {"machine_id": "ffff"}}


def judged(tmp_path, before, after, **given):
    return judge_stored(*stored(tmp_path, before, after), **{"tolerances": SHIPPED} | given)


def in_memory(before, after):
    """The same of records that lie nowhere; those of one side have a case each."""
    (_, old), (_, new) = (
        by_arm({one.case.id: [StoredRun(record=one, name="run")] for one in records}) for records in (before, after)
    )
    found = judge_arm(ARM, old.get(ARM, {}), new.get(ARM, {}), SHIPPED)
    return [*found.verdicts, *judge_together(found.tested, SHIPPED)]


def of(judgement, span):
    (verdict,) = [one for one in judgement.verdicts if one.span == span]
    return verdict


def said(judgement, outcome):
    return [one.reason for one in judgement.verdicts if one.outcome is outcome]


def moved(by, bases=USUAL):
    return [accuracy + each for accuracy, each in zip(bases, by, strict=True)]


def now(accuracies, **changed):
    return arm(accuracies, minute=30, **changed)


@pytest.mark.parametrize(
    ("bases", "after", "outcome", "code"),
    [
        (USUAL, moved([0.004, -0.004, 0.004, -0.004, 0.0]), Outcome.SAME, 0),
        (USUAL, moved(FALL), Outcome.SLOWER, 1),
        (USUAL, moved([-each for each in FALL]), Outcome.FASTER, 0),
        (USUAL, moved(NOISE), Outcome.INCONCLUSIVE, 0),
        (USUAL, moved([-0.015] * 5), Outcome.SAME, 0),  # however sure, below the tolerance
        (USUAL, [*USUAL[:4], 0.0], Outcome.INCONCLUSIVE, 0),  # a run that collapsed counts with its value
        # Unpaired, a fall of 0.05 would drown in base models that lie 0.6 apart.
        (APART, moved([-0.046, -0.054, -0.05, -0.046, -0.054], APART), Outcome.SLOWER, 1),
        (APART, APART[::-1], Outcome.INCONCLUSIVE, 0),  # no run would differ from its like by rank
    ],
)
def test_an_arm_is_judged_by_the_differences_of_its_pairs(tmp_path, bases, after, outcome, code):
    judgement = judged(tmp_path, arm(bases), now(after))
    last = of(judgement, "last")
    assert (last.outcome, judgement.exit_code) == (outcome, code)
    assert (last.before, last.after) == (pytest.approx(sum(bases) / 5), pytest.approx(sum(after) / 5))
    assert of(judgement, "mean").before == pytest.approx(sum(bases) / 10)
    assert last.notes == ["2 of 3 metrics set by the seed differ, from step 1 on"]
    assert of(judgement, COST).outcome is Outcome.SAME


def test_bit_equal_runs_are_the_same_without_a_statistic(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), now(USUAL, cost_s=1.01))
    assert [verdict.case for verdict in judgement.verdicts] == [ARM] * 2
    assert said(judgement, Outcome.SAME)[0] == "3 metrics are bit-equal over 5 seeds"
    assert (of(judgement, COST).outcome, judgement.exit_code) == (Outcome.SAME, 0)


def test_the_interval_is_student_s_over_the_pairs():
    """Computed by hand: t(4, 99%) = 3.747 times the standard error of five differences."""
    falls = np.array([0.08, 0.12, 0.10, 0.09, 0.11])
    (last, *_) = [one for one in in_memory(arm(USUAL), now(moved(-falls))) if one.span == "last"]
    reach = 3.747 * falls.std(ddof=1) / np.sqrt(5)
    assert last.before * (1 - last.low) == pytest.approx(0.1 + reach, rel=1e-3)
    assert last.before * (1 - last.high) == pytest.approx(0.1 - reach, rel=1e-3)


def test_runs_are_paired_by_seed_whatever_their_order_and_number():
    """The first seed is lost and a last one came, so that no place in the two lists is of one seed."""
    bases = (*APART, 0.9)
    after = [rl_run(seed, base + 0.001, minute=30 + seed) for seed, base in enumerate((*bases, 0.4))][1:]
    verdicts = in_memory(arm(bases), after[::-1])
    (last,) = [verdict for verdict in verdicts if verdict.span == "last"]
    assert (last.outcome, last.launches) == (Outcome.SAME, 5)
    assert last.before == pytest.approx(sum(bases[1:]) / 5)
    places = {verdict.outcome: verdict.reason.partition(":")[0] for verdict in verdicts if not verdict.span}
    assert places == {Outcome.MISSING: "seed 0", Outcome.NEW: "seed 6"}


def test_what_is_undecided_says_what_would_decide_it(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), now(moved(NOISE)))
    assert of(judgement, "last").reason.endswith("; the seeds spread too far to rule out a change of −0.050")
    assert "more seeds" in advice(judgement)


def test_shipped_tolerances_are_two_points_and_a_tenth_of_cost(tmp_path):
    def chosen(tolerances, quantity):
        tolerance = tolerances.tolerance(ARM, quantity.span, quantity.metric, usual=quantity.usual)
        return tolerance.minimum_effect, tolerance.equivalence_margin

    assert [quantity.span for quantity in QUANTITIES] == ["last", "mean", COST]
    assert [chosen(SHIPPED, quantity) for quantity in QUANTITIES] == [(0.02, 0.05), (0.02, 0.05), (0.1, 0.2)]
    line = {"case": "workload=rl *", "metric": "latency_s", "floor": 0.03, "target": 0.06}
    assert chosen(Tolerances.from_settings({"cases": [line]}), QUANTITIES[-1]) == (0.03, 0.06)
    strict = Tolerances.from_settings({"metrics": {"heldout_accuracy": 0.01}})
    judgement = judged(tmp_path, arm(USUAL), now(moved([-0.015] * 5)), tolerances=strict)
    assert of(judgement, "last").outcome is Outcome.SLOWER


def test_an_arm_that_learns_nothing_on_either_side_is_the_same(tmp_path):
    before, after = arm([0.0] * 5), now([0.0] * 5)
    after[0] = replace(after[0], readings=[*after[0].readings, Reading(step=0, span="step", metric="entropy", value=1)])
    judgement = judged(tmp_path, before, after)
    assert (of(judgement, "last").outcome, of(judgement, "last").ratio) == (Outcome.SAME, None)


@pytest.mark.parametrize(("cost_s", "outcome", "code"), [(1.3, Outcome.SLOWER, 1), (1.08, Outcome.SAME, 0)])
def test_a_cost_is_judged_by_the_clock_of_the_process(tmp_path, cost_s, outcome, code):
    """A drift of the machine is no higher cost."""
    judgement = judged(tmp_path, arm(USUAL), now(USUAL, cost_s=cost_s))
    cost = of(judgement, COST)
    assert (cost.outcome, cost.clock, judgement.exit_code) == (outcome, "process_cpu", code)
    assert cost.ratio == pytest.approx(cost_s, rel=0.02)
    assert 12 < cost.before < 15  # twelve phases of a second and more each; evaluations are no cost
    assert (cost.allowed, cost.launches) == (pytest.approx(1.1), 5)
    assert cost.reason.startswith("14.")


def test_another_machine_judges_learning_and_not_its_cost(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), now(moved([-0.1] * 5), cost_s=9.0, **ELSEWHERE))
    assert of(judgement, "last").outcome is Outcome.SLOWER
    assert any("another machine" in note for note in of(judgement, "last").notes)
    cost = of(judgement, COST)
    assert (cost.outcome, cost.ratio) == (Outcome.INCOMPARABLE, None)
    assert cost.reason.startswith("seeds 0, 1, 2, 3 and 4: times are not comparable: another machine")


@pytest.mark.parametrize(
    ("after", "words"), [(now(USUAL, **ELSEWHERE), "another machine"), (arm(USUAL), "nothing new was timed")]
)
def test_what_was_timed_nowhere_or_elsewhere_is_not_green(tmp_path, after, words):
    judgement = judged(tmp_path, arm(USUAL), after)
    assert words in of(judgement, COST).reason
    assert judgement.exit_code == 3
    assert "same seed" in advice(judgement)


def test_seeds_that_are_gone_are_missing_and_others_new(tmp_path):
    gone = judged(tmp_path, arm([*USUAL, 0.7]), now(USUAL))
    assert said(gone, Outcome.MISSING) == ["seed 5: it is in the baseline, but the candidate has no run of it"]
    assert gone.exit_code == 4
    assert judged(tmp_path / "new", arm(USUAL), now([*USUAL, 0.7])).counts == {Outcome.NEW: 1, Outcome.SAME: 2}
    whole = judged(tmp_path / "whole", [*arm(USUAL), *five()], [run(1.001e-3, minute=30)])
    (reason,) = said(whole, Outcome.MISSING)
    assert reason.startswith("seeds 0, 1, 2, 3 and 4: it is in the baseline")


@pytest.mark.parametrize("status", [Status.FAILED, Status.INCORRECT, Status.OUT_OF_MEMORY])
def test_a_seed_that_newly_fails_is_worse_whatever_others_say(tmp_path, status):
    after = now([*USUAL, 0.7])
    after[2] = rl_run(2, 0.8, minute=30, status=status, reason="the loss is nan")
    judgement = judged(tmp_path, arm([*USUAL, 0.7]), after)
    (worse,) = [verdict for verdict in judgement.verdicts if verdict.outcome is Outcome.SLOWER]
    assert worse.reason == f"fails now, but ran before: seed 2 is {status} (the loss is nan)"
    assert (worse.metric, worse.before, worse.after, judgement.exit_code) == ("ok_runs", 6, 5, 1)


@pytest.mark.parametrize(
    ("metric", "ceiling", "fall", "failure"),
    [
        ("heldout_accuracy", 1.2, Outcome.ACCEPTED, Outcome.SLOWER),
        ("heldout_accuracy", 1.1, Outcome.SLOWER, Outcome.SLOWER),  # from 0.76 to 0.66 is 1.15 times worse
        ("ok_runs", 2.0, Outcome.SLOWER, Outcome.ACCEPTED),
    ],
)
def test_a_fall_is_accepted_up_to_its_ceiling(tmp_path, metric, ceiling, fall, failure):
    """And a failed seed by no entry for an accuracy."""
    path = tmp_path / "accepted.yaml"
    accept(path, ARM, metric=metric, reason="why", ceiling=ceiling, expires="2026-12-31", today=TODAY)
    after = [*now(moved([-0.1] * 5)), rl_run(5, 0.8, minute=30, status=Status.FAILED, reason="the loss is nan")]
    judgement = judged(tmp_path, arm([*USUAL, 0.8]), after, accepted=path)
    assert of(judgement, "last").outcome is fall
    assert [verdict.outcome for verdict in judgement.verdicts if verdict.metric == "ok_runs"] == [failure]


@pytest.mark.parametrize("side", ["baseline", "candidate"])
@pytest.mark.parametrize(
    ("span", "metric"), [("evaluate", "heldout_accuracy"), ("step", "reward"), ("update", "latency_s")]
)
def test_a_value_that_is_no_finite_number_is_broken(tmp_path, side, span, metric):
    before, after = arm(USUAL), now(USUAL)
    changed = before if side == "baseline" else after
    wild = Reading(step=9, span=span, metric=metric, value=float("nan"))
    changed[1] = replace(changed[1], readings=[*changed[1].readings, wild])
    judgement = judged(tmp_path, before, after)
    assert judgement.exit_code == 4
    (reason,) = said(judgement, Outcome.BROKEN)
    assert reason.startswith(f"seed 1: {metric} of {span}: {side} run")


def test_a_failed_baseline_or_a_cut_candidate_is_broken(tmp_path):
    before, after = arm(USUAL), now(USUAL)
    before[0] = rl_run(0, 0.8, status=Status.FAILED, reason="why")
    after[1] = rl_run(1, 0.8, minute=30, status=Status.INTERRUPTED, reason="interrupted")
    reasons = [reason.partition(" run ")[0] for reason in said(judged(tmp_path, before, after), Outcome.BROKEN)]
    assert reasons == ["seed 0: baseline", "seed 1: candidate"]


def test_three_seeds_judge_alone_what_is_bit_equal(tmp_path):
    judgement = judged(tmp_path, arm(USUAL[:3]), now(moved([-0.3] * 5)[:3]))
    assert of(judgement, "last").outcome is of(judgement, COST).outcome is Outcome.INCONCLUSIVE
    assert of(judgement, "last").reason == "needs 5 paired seeds; there are 3: 0.763 before, 0.463 now"
    assert judgement.exit_code == 4
    assert "nothing was judged" in said(judgement, Outcome.BROKEN)[0]
    equal = judged(tmp_path / "equal", arm(USUAL[:3]), now(USUAL[:3]))
    assert said(equal, Outcome.SAME) == ["3 metrics are bit-equal over 3 seeds"]
    assert equal.exit_code == 0


def test_changed_settings_are_named_and_nothing_noisy_is_judged(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), now(moved([-0.3] * 5), settings={"format_weight": 0.2}))
    (reason,) = said(judgement, Outcome.INCOMPARABLE)
    assert "settings changed: format_weight, so the runs cannot be compared" in reason
    assert not {"last", "mean", COST} & {one.span for one in judgement.verdicts}
    assert judgement.exit_code == 4  # nothing else was judged


def test_a_stored_run_of_the_same_settings_is_preferred(tmp_path):
    other = arm([0.1] * 5, minute=9, settings={"format_weight": 0.2})
    judgement = judged(tmp_path, [*arm(USUAL), *other], now(USUAL))
    assert {one.outcome for one in judgement.verdicts} == {Outcome.SAME}


def lacking(records, *, metric=None, at=None):
    """The records without a metric, or without the readings of a span and step."""
    return [
        replace(one, readings=[each for each in one.readings if each.metric != metric and (each.span, each.step) != at])
        for one in records
    ]


def test_evaluations_at_other_steps_are_not_compared(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), lacking(now(moved([-0.01] * 5)), at=("evaluate", 2)))
    assert of(judgement, "last").outcome is Outcome.SAME
    assert of(judgement, "mean").reason.endswith("was recorded at other steps: 3 readings before, 2 readings now")


def test_an_accuracy_that_one_side_lacks_is_missing_or_broken(tmp_path):
    lower = lacking(now(moved([-0.01] * 5)), metric="heldout_accuracy")
    judgement = judged(tmp_path, arm(USUAL), lower)
    assert (of(judgement, "last").outcome, judgement.exit_code) == (Outcome.MISSING, 4)
    found = in_memory(lacking(arm(USUAL), metric="heldout_accuracy"), lower)
    assert [one.span for one in found if one.outcome is Outcome.BROKEN] == ["last", "mean"]


def test_a_seed_that_recorded_nothing_is_not_bit_equal(tmp_path):
    before, after = arm(USUAL), now(USUAL)
    before[3], after[3] = (replace(one, readings=one.readings[-2:]) for one in (before[3], after[3]))
    judgement = judged(tmp_path, before, after)
    assert said(judgement, Outcome.SAME)[0] == "3 metrics are bit-equal over 4 seeds"
    assert said(judgement, Outcome.BROKEN) == ["seed 3: neither run recorded what it learnt"]
    assert judgement.exit_code == 4


def test_exact_quantities_judge_each_seed_unless_they_vary(tmp_path):
    def with_exact(records, flops):
        extra = [
            ("case", "flops", 0, flops),
            ("update", "peak_bytes", 0, flops),
            ("update", "peak_bytes", 1, 2 * flops),
        ]
        added = [Reading(step=step, span=span, metric=metric, value=value) for span, metric, step, value in extra]
        return [replace(one, readings=[*one.readings, *added]) for one in records]

    judgement = judged(tmp_path, with_exact(arm(USUAL[:2]), 7.0), with_exact(now(USUAL[:2]), 8.0))
    worse = [one for one in judgement.verdicts if one.outcome is Outcome.SLOWER]
    assert [(one.span, one.metric) for one in worse] == [("seed 0 case", "flops"), ("seed 1 case", "flops")]
    assert worse[0].notes == ["not judged, because it changes from step to step: peak_bytes of update"]
    assert judgement.exit_code == 1


def test_the_error_is_spent_over_arms_and_other_cases_together(tmp_path):
    """One arm alone fails at this spread; beside as much as a sweep compares it is what chance gives."""
    before, after = arm(USUAL), now(moved([-0.16, -0.06, -0.11, -0.14, -0.05]))
    assert of(judged(tmp_path, before, after), "last").outcome is Outcome.SLOWER
    for batch in range(2, 8):
        before += five(batch=batch)
        after.append(run(1.001e-3, minute=30, batch=batch))
    assert of(judged(tmp_path / "more", before, after), "last").outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("collapsing", [0.0, 0.2])
def test_identical_distributions_raise_at_most_1_percent_alarms(collapsing):
    """Without any floor, which would only make alarms rarer; 1,000 judgements of five seeds."""
    strict = Tolerances.from_settings({"floor": 0.0, "metrics": {"heldout_accuracy": 0.0}})
    generator = np.random.default_rng(7)
    alarms = sum(Outcome.SLOWER in outcomes(generator, strict, collapsing=collapsing) for _ in range(1000))
    assert alarms <= 15  # 10 are expected at the most, with a standard deviation of 3.1


def test_a_fall_of_a_tenth_is_found_in_nearly_every_judgement():
    generator = np.random.default_rng(8)
    found = sum(Outcome.SLOWER in outcomes(generator, SHIPPED, spread=0.02, fall=0.1) for _ in range(300))
    assert found > 0.9 * 300


def outcomes(generator, tolerances, *, collapsing=0.0, spread=0.05, fall=0.0):
    """Return the outcomes of one judgement of five seeds; `spread` is that of a run about its arm."""
    sides = []
    for lower in (0.0, fall):
        last = np.where(generator.random(5) < collapsing, 0.0, generator.normal(0.75 - lower, spread, 5))
        mean = 0.6 * last + generator.normal(0, spread / 2, 5)
        values = zip(QUANTITIES, (last, mean, generator.lognormal(0, 0.03, 5)), strict=True)
        sides.append([[TakenValue(value=float(one), readings=()) for one in of_seeds] for _, of_seeds in values])
    tested = [compare_pairs(ARM, *each) for each in zip(QUANTITIES, *sides, strict=True)]
    return {verdict.outcome for verdict in judge_together(tested, tolerances)}


def test_accuracies_are_shares_that_change_by_points(tmp_path):
    """On the page too, whose figure says that further left is better: of costs alone."""
    after = now(moved([-0.16, -0.17, -0.15, -0.18, -0.17]), cost_s=1.3)
    judgement = judged(tmp_path, arm(USUAL), after)
    change = "−0.166 (−0.185 to −0.147)"
    write_judgement(judgement, tmp_path / "results" / "gate", {})
    section = load_texts("en").section(build_section(read_results([tmp_path / "results"])))
    (row,) = [one for one in rows_of(section.tables[0]) if one["Quantity"] == "last · heldout_accuracy"]
    assert (row["Change"], row["Allowed"], row["Before"], row["After"]) == (change, "−0.020", "0.760", "0.594")
    (figure,) = section.figures
    assert [trace["x"] for trace in figure.views[0].figure["data"]][1] == [pytest.approx(1.3)]


def trained(finals, *, cost_s=1.0, minute=0):
    """Decoders trained on questions, a run of each seed, whose second step takes twice as long as its first."""
    records = []
    for seed, final in enumerate(finals):
        at = f"2026-03-01T10:{minute:02}:{seed:02}+00:00"
        made = quality_record(final, seed=seed, settings={"device": "cpu", "threads": 1}, started_at=at, decode_s=None)
        taken = [timed(step, "train", cost_s * (1 + step + seed / 50 + minute * 1e-9)) for step in range(2)]
        records.append(replace(made, readings=[*made.readings, *taken]))
    return records


@pytest.mark.parametrize(
    ("finals", "cost_s", "expected"),
    [
        (USUAL, 1.01, {"": Outcome.SAME, "train": Outcome.SAME}),
        (moved(FALL), 1.0, {"": Outcome.SAME, "last": Outcome.SLOWER, "mean": Outcome.SLOWER, "train": Outcome.SAME}),
        (USUAL, 1.5, {"": Outcome.SAME, "train": Outcome.SLOWER}),
    ],
)
def test_decoders_are_judged_by_answers_and_their_training(tmp_path, finals, cost_s, expected):
    judgement = judged(tmp_path, trained(USUAL), trained(finals, minute=30, cost_s=cost_s))
    verdicts = {one.span: one for one in judgement.verdicts}
    assert {span: one.outcome for span, one in verdicts.items()} == expected
    assert verdicts["train"].before == pytest.approx(3.08, rel=1e-3)
    assert {one.metric for one in judgement.verdicts if one.span in ("last", "mean")} <= {"answer_accuracy"}


def test_a_compressed_model_is_judged_by_its_loss_per_token():
    record = quality_record()
    read = [Reading(step=step, span="text", metric="text_loss", value=loss) for step, loss in enumerate((30.0, 50.0))]
    read += [Reading(step=step, span="text", metric="text_tokens", value=20.0) for step in range(2)]
    assert loss_per_token(replace(record, readings=read)).value == pytest.approx(2.0)
    assert loss_per_token(record) is None


@pytest.mark.parametrize("workload", [name for name in choices("workload") if is_judged_by_seed(name)])
def test_a_workload_judged_by_seed_is_never_timed(workload):
    assert isinstance(judging_of(workload), Judging)
    with pytest.raises(ValueError, match=f"no case of workload={workload}, which is judged by stored records"):
        check_can_be_timed([case(workload=workload)], "gate")
