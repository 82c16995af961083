"""Two folders of reinforcement learning: an arm is judged over runs paired by seed, and is never green by absence."""

import datetime
import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from suite import __main__ as command_line
from suite.gate.output.files import write_judgement
from suite.gate.output.github import annotations, markdown
from suite.gate.output.junit import junit
from suite.gate.output.sentences import advice
from suite.gate.output.terminal import lines
from suite.gate.rules.acceptances import accept
from suite.gate.rules.multiple_testing import judge_together
from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.case import StoredRun
from suite.gate.stored.folders import judge_stored
from suite.gate.stored.seed_pairs import BY_HELDOUT_ACCURACY, Taken, by_arm, compare_pairs, judge_arm, list_seeds
from suite.gate.verdict import Outcome
from suite.records.record import Reading, Status
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from suite.report.runs.gate import build as build_section
from tests.gate.judgements import judgement as judgement_of
from tests.gate.judgements import timing
from tests.gate.seed_runs import ARM, arm, rl_run
from tests.gate.stored_runs import five, run, stored
from tests.report.reading import rows_of

USUAL = (0.78, 0.71, 0.80, 0.74, 0.77)
NOISE = (0.10, -0.09, 0.08, -0.10, 0.01)
SHIPPED = Tolerances.load()
QUANTITIES = (*BY_HELDOUT_ACCURACY.learnt, BY_HELDOUT_ACCURACY.spent)
TODAY = datetime.date(2026, 3, 1)


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


def moved(by):
    return [accuracy + each for accuracy, each in zip(USUAL, by, strict=True)]


def test_bit_equal_runs_are_the_same_without_a_statistic(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(USUAL, minute=30, cost_s=1.01))
    assert {one.case for one in judgement.verdicts} == {ARM}
    assert said(judgement, Outcome.SAME)[0] == "3 metrics bit-equal over 5 seeds"
    assert of(judgement, "rollout+score+update").outcome is Outcome.SAME
    assert (len(judgement.verdicts), judgement.exit_code) == (2, 0)


def test_nearly_equal_runs_are_the_same_by_their_interval(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(moved([0.004, -0.004, 0.004, -0.004, 0.0]), minute=30))
    assert {one.outcome for one in judgement.verdicts} == {Outcome.SAME}
    assert of(judgement, "last").notes == ["2 of 3 metrics that follow from the seed differ, from step 1 on"]


def test_a_fall_that_all_seeds_share_is_worse(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(moved([-0.1, -0.11, -0.09, -0.1, -0.1]), minute=30))
    last, mean = of(judgement, "last"), of(judgement, "mean")
    assert (last.outcome, mean.outcome, judgement.exit_code) == (Outcome.SLOWER, Outcome.SLOWER, 1)
    assert (last.before, last.after) == (pytest.approx(0.76), pytest.approx(0.66))
    assert mean.before == pytest.approx(0.38)
    assert last.ratio == pytest.approx(0.66 / 0.76)
    assert last.low < last.ratio < last.high < 1
    assert last.reason == "0.760 before, 0.660 now over 5 paired seeds: −0.100 (−0.112 to −0.088)"
    assert of(judgement, "rollout+score+update").outcome is Outcome.SAME


def test_a_rise_that_all_seeds_share_is_for_the_better(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(moved([0.1, 0.11, 0.09, 0.1, 0.1]), minute=30))
    assert (of(judgement, "last").outcome, judgement.exit_code) == (Outcome.FASTER, 0)


def test_the_interval_is_student_s_over_the_pairs():
    """Computed by hand: t(4, 99 %) = 3.747 times the standard error of five differences."""
    falls = np.array([0.08, 0.12, 0.10, 0.09, 0.11])
    (last, *_) = [one for one in in_memory(arm(USUAL), arm(moved(-falls), minute=30)) if one.span == "last"]
    reach = 3.747 * falls.std(ddof=1) / np.sqrt(5)
    assert last.before * (1 - last.low) == pytest.approx(0.1 + reach, rel=1e-3)
    assert last.before * (1 - last.high) == pytest.approx(0.1 - reach, rel=1e-3)


def test_what_differs_between_seeds_alone_hides_no_fall(tmp_path):
    """Unpaired, a fall of 0.05 would drown in base models that lie 0.6 apart."""
    bases = (0.2, 0.8, 0.5, 0.35, 0.65)
    lower = [base - 0.05 + nudge for base, nudge in zip(bases, (0.004, -0.004, 0, 0.004, -0.004), strict=True)]
    assert of(judged(tmp_path, arm(bases), arm(lower, minute=30)), "last").outcome is Outcome.SLOWER


def test_runs_are_paired_by_seed_whatever_their_order_and_number():
    """The first seed is lost and a last one came, so that no place in the two lists is of one seed."""
    bases = (0.2, 0.8, 0.5, 0.35, 0.65, 0.9)
    after = [rl_run(seed, base + 0.001, minute=30 + seed) for seed, base in enumerate((*bases, 0.4))][1:]
    found = in_memory(arm(bases), after[::-1])
    (last,) = [one for one in found if one.span == "last"]
    assert (last.outcome, last.launches) == (Outcome.SAME, 5)
    assert last.before == pytest.approx(sum(bases[1:]) / 5)
    assert [one.reason.partition(":")[0] for one in found if one.outcome is Outcome.MISSING] == ["seed 0"]
    assert [one.reason.partition(":")[0] for one in found if one.outcome is Outcome.NEW] == ["seed 6"]


def test_seeds_that_change_places_are_not_the_same():
    """No run would differ from its like by rank."""
    bases = (0.2, 0.8, 0.5, 0.35, 0.65)
    (last,) = [one for one in in_memory(arm(bases), arm(bases[::-1], minute=30)) if one.span == "last"]
    assert (last.outcome, last.ratio) == (Outcome.INCONCLUSIVE, pytest.approx(1.0))


def test_noise_without_a_shift_is_inconclusive(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(moved(NOISE), minute=30))
    assert of(judgement, "last").outcome is Outcome.INCONCLUSIVE
    assert of(judgement, "last").reason.endswith("; the seeds spread too far to rule out −0.050")
    assert judgement.exit_code == 0
    assert "More seeds" in advice(judgement)


def test_a_fall_below_the_tolerance_is_no_failure_however_sure(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(moved([-0.015] * 5), minute=30))
    assert of(judgement, "last").outcome is Outcome.SAME
    strict = Tolerances.from_settings({"metrics": {"heldout_accuracy": 0.01}})
    assert of(judge_stored(tmp_path / "before", tmp_path / "after", tolerances=strict), "last").outcome is (
        Outcome.SLOWER
    )


def test_shipped_tolerances_are_two_points_and_a_tenth_of_cost():
    def chosen(tolerances, quantity):
        found = tolerances.tolerance(ARM, quantity.span, quantity.metric, usual=quantity.usual)
        return found.minimum_effect, found.equivalence_margin

    last, mean, cost = QUANTITIES
    assert (last.span, mean.span, cost.span) == ("last", "mean", "rollout+score+update")
    assert chosen(SHIPPED, last) == chosen(SHIPPED, mean) == (0.02, 0.05)
    assert chosen(SHIPPED, cost) == (0.1, 0.2)
    line = {"case": "workload=rl *", "metric": "latency_s", "floor": 0.03, "target": 0.06}
    assert chosen(Tolerances.from_settings({"cases": [line]}), cost) == (0.03, 0.06)
    assert SHIPPED.tolerance("workload=attention", cost.span, "latency_s").minimum_effect == 0.02


def test_a_run_that_collapsed_counts_with_its_value(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm([*USUAL[:4], 0.0], minute=30))
    assert of(judgement, "last").after == pytest.approx(sum(USUAL[:4]) / 5)
    assert of(judgement, "last").outcome is Outcome.INCONCLUSIVE


def test_an_arm_that_learns_nothing_on_either_side_is_the_same(tmp_path):
    before, after = arm([0.0] * 5), arm([0.0] * 5, minute=30)
    after[0] = replace(after[0], readings=[*after[0].readings, Reading(step=0, span="step", metric="entropy", value=1)])
    judgement = judged(tmp_path, before, after)
    assert (of(judgement, "last").outcome, of(judgement, "last").ratio) == (Outcome.SAME, None)


def test_a_higher_cost_is_slower_by_the_process_s_clock(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(USUAL, minute=30, cost_s=1.3))
    cost = of(judgement, "rollout+score+update")
    assert (cost.outcome, cost.clock, judgement.exit_code) == (Outcome.SLOWER, "process_cpu", 1)
    assert cost.ratio == pytest.approx(1.3, rel=0.02)
    assert 12 < cost.before < 15  # twelve phases of a second and more each; evaluations are no cost
    assert (cost.allowed, cost.launches) == (pytest.approx(1.1), 5)
    assert cost.reason.startswith("14.")


def test_a_drift_of_the_machine_is_no_higher_cost(tmp_path):
    assert judged(tmp_path, arm(USUAL), arm(USUAL, minute=30, cost_s=1.08)).exit_code == 0


def test_another_machine_judges_learning_and_not_its_cost(tmp_path):
    elsewhere = arm(moved([-0.1] * 5), minute=30, cost_s=9.0, environment={"machine_id": "ffff"})
    judgement = judged(tmp_path, arm(USUAL), elsewhere)
    assert of(judgement, "last").outcome is Outcome.SLOWER
    assert any("another machine" in note for note in of(judgement, "last").notes)
    cost = of(judgement, "rollout+score+update")
    assert (cost.outcome, cost.ratio) == (Outcome.INCOMPARABLE, None)
    assert cost.reason.startswith("seeds 0, 1, 2, 3 and 4: times are not comparable: another machine")


def test_the_same_runs_on_another_machine_are_not_green(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(USUAL, minute=30, environment={"machine_id": "ffff"}))
    assert judgement.exit_code == 3
    assert "paired seeds" in advice(judgement)


def test_a_copied_candidate_is_no_new_run(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(USUAL))
    assert "nothing new was timed" in of(judgement, "rollout+score+update").reason
    assert judgement.exit_code == 3


def test_a_seed_that_is_gone_is_missing(tmp_path):
    judgement = judged(tmp_path, arm([*USUAL, 0.7]), arm(USUAL, minute=30))
    assert said(judgement, Outcome.MISSING) == [
        "seed 5: it is in the baseline, and there is no run of it in the candidate"
    ]
    assert judgement.exit_code == 4


def test_a_seed_that_came_is_new_beside_those_that_are_judged(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm([*USUAL, 0.7], minute=30))
    assert judgement.counts == {Outcome.NEW: 1, Outcome.SAME: 2}


def test_a_whole_arm_that_is_gone_is_missing_once(tmp_path):
    judgement = judged(tmp_path, [*arm(USUAL), *five()], [run(1.001e-3, minute=30)])
    (reason,) = said(judgement, Outcome.MISSING)
    assert reason.startswith("seeds 0, 1, 2, 3 and 4: it is in the baseline")


@pytest.mark.parametrize("status", [Status.FAILED, Status.INCORRECT, Status.OUT_OF_MEMORY])
def test_a_seed_that_newly_fails_is_worse_whatever_others_say(tmp_path, status):
    after = arm([*USUAL, 0.7], minute=30)
    after[2] = rl_run(2, 0.8, minute=30, status=status, reason="the loss is nan")
    judgement = judged(tmp_path, arm([*USUAL, 0.7]), after)
    (worse,) = [one for one in judgement.verdicts if one.outcome is Outcome.SLOWER]
    assert worse.reason == f"fails now, and ran before: seed 2 is {status} (the loss is nan)"
    assert (worse.metric, worse.before, worse.after, judgement.exit_code) == ("ok_runs", 6, 5, 1)


def test_a_failed_seed_is_accepted_by_no_entry_for_an_accuracy(tmp_path):
    after = [rl_run(2, 0.8, minute=30, status=Status.FAILED, reason="the loss is nan"), *arm(USUAL[:2], minute=30)]
    folders = stored(tmp_path, arm(USUAL[:3]), after)
    path = tmp_path / "accepted.yaml"
    plain = {"reason": "why", "ceiling": 2.0, "expires": "2026-12-31", "today": TODAY}
    for metric, outcome in (("heldout_accuracy", Outcome.SLOWER), ("ok_runs", Outcome.ACCEPTED)):
        accept(path, ARM, metric=metric, **plain)
        found = [one for one in judge_stored(*folders, tolerances=SHIPPED, accepted=path).verdicts if one.before == 3]
        assert [one.outcome for one in found] == [outcome]


@pytest.mark.parametrize(("ceiling", "outcome"), [(1.2, Outcome.ACCEPTED), (1.1, Outcome.SLOWER)])
def test_a_fall_is_accepted_up_to_its_ceiling(tmp_path, ceiling, outcome):
    """From 0.76 to 0.66 is 1.15 times worse."""
    path = tmp_path / "accepted.yaml"
    accept(path, ARM, metric="heldout_accuracy", reason="why", ceiling=ceiling, expires="2026-12-31", today=TODAY)
    judgement = judged(tmp_path, arm(USUAL), arm(moved([-0.1] * 5), minute=30), accepted=path)
    assert of(judgement, "last").outcome is outcome


@pytest.mark.parametrize("side", ["baseline", "candidate"])
@pytest.mark.parametrize(
    ("span", "metric"), [("evaluate", "heldout_accuracy"), ("step", "reward"), ("update", "latency_s")]
)
def test_a_value_that_is_no_finite_number_is_broken(tmp_path, side, span, metric):
    before, after = arm(USUAL), arm(USUAL, minute=30)
    changed = before if side == "baseline" else after
    wild = Reading(step=9, span=span, metric=metric, value=float("nan"))
    changed[1] = replace(changed[1], readings=[*changed[1].readings, wild])
    judgement = judged(tmp_path, before, after)
    assert judgement.exit_code == 4
    (reason,) = said(judgement, Outcome.BROKEN)
    assert reason.startswith(f"seed 1: {metric} of {span}: {side} run")


def test_a_failed_baseline_or_a_cut_candidate_is_broken(tmp_path):
    before, after = arm(USUAL), arm(USUAL, minute=30)
    before[0] = rl_run(0, 0.8, status=Status.FAILED, reason="why")
    after[1] = rl_run(1, 0.8, minute=30, status=Status.INTERRUPTED, reason="interrupted")
    judgement = judged(tmp_path, before, after)
    assert [reason.partition(" run ")[0] for reason in said(judgement, Outcome.BROKEN)] == [
        "seed 0: baseline",
        "seed 1: candidate",
    ]


def test_three_seeds_are_too_few_and_alone_judge_nothing(tmp_path):
    judgement = judged(tmp_path, arm(USUAL[:3]), arm(moved([-0.3] * 5)[:3], minute=30))
    assert of(judgement, "last").outcome is Outcome.INCONCLUSIVE
    assert of(judgement, "last").reason == "needs 5 paired seeds; there are 3: 0.763 before, 0.463 now"
    assert of(judgement, "rollout+score+update").outcome is Outcome.INCONCLUSIVE
    assert judgement.exit_code == 4
    assert "nothing was judged" in said(judgement, Outcome.BROKEN)[0]


def test_three_seeds_that_are_bit_equal_are_the_same(tmp_path):
    judgement = judged(tmp_path, arm(USUAL[:3]), arm(USUAL[:3], minute=30))
    assert said(judgement, Outcome.SAME) == ["3 metrics bit-equal over 3 seeds"]
    assert judgement.exit_code == 0


def test_changed_settings_are_named_and_nothing_noisy_is_judged(tmp_path):
    judgement = judged(tmp_path, arm(USUAL), arm(moved([-0.3] * 5), minute=30, settings={"format_weight": 0.2}))
    (verdict,) = [one for one in judgement.verdicts if one.outcome is Outcome.INCOMPARABLE]
    assert "settings changed: format_weight, so the runs are of two different things" in verdict.reason
    assert not {"last", "mean", "rollout+score+update"} & {one.span for one in judgement.verdicts}
    assert judgement.exit_code == 4  # nothing else was judged


def test_a_stored_run_of_the_same_settings_is_preferred(tmp_path):
    other = arm([0.1] * 5, minute=9, settings={"format_weight": 0.2})
    judgement = judged(tmp_path, [*arm(USUAL), *other], arm(USUAL, minute=30))
    assert {one.outcome for one in judgement.verdicts} == {Outcome.SAME}


def test_evaluations_at_other_steps_are_not_compared(tmp_path):
    fewer = [
        replace(one, readings=[each for each in one.readings if (each.span, each.step) != ("evaluate", 2)])
        for one in arm(moved([-0.01] * 5), minute=30)
    ]
    judgement = judged(tmp_path, arm(USUAL), fewer)
    assert of(judgement, "last").outcome is Outcome.SAME
    assert of(judgement, "mean").reason.endswith("is of other steps: 3 readings before, 2 readings now")


def without_accuracy(records):
    return [
        replace(one, readings=[each for each in one.readings if each.metric != "heldout_accuracy"]) for one in records
    ]


def test_an_accuracy_that_one_side_lacks_is_missing_or_broken(tmp_path):
    lower = without_accuracy(arm(moved([-0.01] * 5), minute=30))
    judgement = judged(tmp_path, arm(USUAL), lower)
    assert (of(judgement, "last").outcome, judgement.exit_code) == (Outcome.MISSING, 4)
    found = in_memory(without_accuracy(arm(USUAL)), lower)
    assert [one.span for one in found if one.outcome is Outcome.BROKEN] == ["last", "mean"]


def test_a_seed_that_recorded_nothing_is_not_bit_equal(tmp_path):
    before, after = arm(USUAL), arm(USUAL, minute=30)
    before[3], after[3] = (replace(one, readings=one.readings[-2:]) for one in (before[3], after[3]))
    judgement = judged(tmp_path, before, after)
    assert said(judgement, Outcome.SAME)[0] == "3 metrics bit-equal over 4 seeds"
    assert said(judgement, Outcome.BROKEN) == ["seed 3: neither run holds anything of what was learnt"]
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

    judgement = judged(tmp_path, with_exact(arm(USUAL[:2]), 7.0), with_exact(arm(USUAL[:2], minute=30), 8.0))
    worse = [one for one in judgement.verdicts if one.outcome is Outcome.SLOWER]
    assert [(one.span, one.metric) for one in worse] == [("seed 0 case", "flops"), ("seed 1 case", "flops")]
    assert worse[0].notes == ["changes from step to step, and is not judged: peak_bytes of update"]
    assert judgement.exit_code == 1


def test_the_error_is_spent_over_arms_and_other_cases_together(tmp_path):
    """One arm alone fails at this spread; beside as much as a sweep compares it is what chance gives."""
    falls = moved([-0.16, -0.06, -0.11, -0.14, -0.05])
    before, after = arm(USUAL), arm(falls, minute=30)
    assert of(judged(tmp_path, before, after), "last").outcome is Outcome.SLOWER
    for batch in range(2, 8):
        before += five(batch=batch)
        after.append(run(1.001e-3, minute=30, batch=batch))
    (tmp_path / "more").mkdir()
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
        sides.append([[Taken(value=float(one), of=()) for one in of_seeds] for _, of_seeds in values])
    tested = [compare_pairs(ARM, *each) for each in zip(QUANTITIES, *sides, strict=True)]
    return {verdict.outcome for verdict in judge_together(tested, tolerances)}


def planted(tmp_path):
    after = [*arm(moved([-0.16, -0.17, -0.15, -0.18, -0.17]), minute=30, cost_s=1.3)]
    return judged(tmp_path, arm(USUAL), after)


def test_every_form_of_the_answer_says_accuracies_as_shares(tmp_path):
    judgement = planted(tmp_path)
    change, reason = "-0.166 (-0.185 to -0.147)", "0.760 before, 0.594 now over 5 paired seeds"
    (line,) = [one for one in lines(judgement, width=200, colour=False) if "last · heldout_accuracy" in one]
    assert change in line
    assert reason in line
    (row,) = [one for one in markdown(judgement).splitlines() if "| last · heldout" in one]
    assert f"| {change} | -0.020 | 0.760 | 0.594 | {reason}" in row
    (case,) = [one for one in ET.fromstring(junit(judgement))[0] if one.get("name") == "last·heldout_accuracy"]
    assert case.find("failure").get("message").startswith(f"{change}: {reason}")
    assert any(f"last · heldout_accuracy::{change}" in one for one in annotations(judgement))


def test_the_page_lists_accuracies_and_draws_costs_alone(tmp_path):
    """More is better of an accuracy, and the figure says that further left is."""
    write_judgement(planted(tmp_path), tmp_path / "results" / "gate", {})
    section = load_texts("en").section(build_section(read_results([tmp_path / "results"])))
    (row,) = [one for one in rows_of(section.tables[0]) if one["Quantity"] == "last · heldout_accuracy"]
    assert (row["Change"], row["Allowed"]) == ("-0.166 (-0.185 to -0.147)", "-0.020")
    assert (row["Before"], row["After"]) == ("0.760", "0.594")
    (figure,) = section.figures
    assert [trace["x"] for trace in figure.views[0].figure["data"]][1] == [pytest.approx(1.3)]


def test_the_worst_fall_comes_first():
    deep, slight = (timing(Outcome.SLOWER, ratio, metric="heldout_accuracy") for ratio in (0.5, 0.9))
    assert judgement_of(slight, deep).worst_first == [deep, slight]


def test_the_command_line_judges_arms(tmp_path, monkeypatch, capsys):
    before, after = stored(tmp_path, arm(USUAL), arm(moved([-0.1] * 5), minute=30))
    command = ["suite", "gate", "--baseline", str(before), "--candidate", str(after), "--out", str(tmp_path / "out")]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    assert command_line.main() == 1
    assert "last · heldout_accuracy" in capsys.readouterr().out


def test_seeds_are_named_in_words():
    assert [list_seeds(one) for one in (["3"], ["0", "1"], ["0", "1", "10"])] == [
        "seed 3",
        "seeds 0 and 1",
        "seeds 0, 1 and 10",
    ]
