"""Every way in which a gate on stored records could be green by accident, with the exit code that it must have."""

import os
from dataclasses import replace

import pytest

from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.folders import judge_stored
from suite.gate.verdict import Outcome
from suite.records.record import Reading, Status
from tests.gate.stored_runs import five, run, stored

AFTER = [run(1.001e-3, minute=30)]
BROKEN = 4


def judged(before, after, **given):
    return judge_stored(before, after, tolerances=Tolerances(), **given)


def is_broken(judgement, said):
    """Exit code 4, and a verdict that says why."""
    reasons = [verdict.reason for verdict in judgement.verdicts]
    assert any(said in reason for reason in reasons), reasons
    return judgement.exit_code == BROKEN


def test_these_folders_are_green_unless_something_is_wrong(tmp_path):
    assert judged(*stored(tmp_path, five(), AFTER)).exit_code == 0


def test_no_baseline_folder(tmp_path):
    assert is_broken(judged(*stored(tmp_path, None, AFTER)), "missing baseline: before is no folder")


def test_a_file_in_place_of_the_baseline(tmp_path):
    (tmp_path / "before").write_text("nothing")
    assert is_broken(judged(*stored(tmp_path, None, AFTER)), "missing baseline")


def test_an_empty_baseline(tmp_path):
    assert is_broken(judged(*stored(tmp_path, [], AFTER)), "missing baseline: before holds no run")


def test_no_candidate_folder(tmp_path):
    assert is_broken(judged(*stored(tmp_path, five(), None)), "missing candidate: after is no folder")


def test_an_empty_candidate(tmp_path):
    assert is_broken(judged(*stored(tmp_path, five(), [])), "missing candidate: after holds no run")


def test_nothing_on_either_side(tmp_path):
    assert is_broken(judged(*stored(tmp_path, [], [])), "missing candidate")


def test_only_unfinished_runs(tmp_path):
    before, after = stored(tmp_path, five(), AFTER)
    for record in after.rglob("record.json"):
        record.unlink()
    judgement = judged(before, after)
    assert is_broken(judgement, "missing candidate")
    assert "unfinished run" in judgement.warnings[0]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("file", ["record.json", "samples.parquet"])
def test_a_corrupt_record_beside_whole_ones(tmp_path, side, file):
    stored(tmp_path, [*five(), run(minute=9, batch=2)], [*AFTER, run(minute=31, batch=2)])
    folder = sorted(path for path in (tmp_path / side).iterdir())[-1]
    (folder / file).write_bytes(b"{")
    judgement = judged(tmp_path / "before", tmp_path / "after")
    assert is_broken(judgement, f"{side}/{folder.name} cannot be read: {file}")
    assert str(tmp_path) not in str(judgement.as_json())


def test_a_folder_that_cannot_be_opened(tmp_path, monkeypatch):
    before, after = stored(tmp_path, five(), AFTER)
    (before / "closed").mkdir()
    scandir = os.scandir

    def failing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert is_broken(
        judged(before, after), "before/closed cannot be read: the folder cannot be listed (PermissionError)"
    )


def test_a_record_that_is_a_link(tmp_path):
    before, after = stored(tmp_path, five(), AFTER)
    (linked,) = after.rglob("record.json")
    linked.rename(after / "whole")
    linked.symlink_to(after / "nowhere")
    assert is_broken(judged(before, after), f"after/{linked.parent.name} cannot be read: record.json is a link")


def test_a_case_that_vanished(tmp_path):
    judgement = judged(*stored(tmp_path, [*five(), run(minute=9, batch=2)], AFTER))
    assert is_broken(judgement, "there is no run of it in the candidate")
    assert judgement.counts[Outcome.MISSING] == 1


def test_a_span_that_is_no_longer_timed(tmp_path):
    kept = [one for one in AFTER[0].readings if (one.span, one.metric) != ("kernel", "latency_s")]
    assert is_broken(judged(*stored(tmp_path, five(), [replace(AFTER[0], readings=kept)])), "is no longer timed")


def test_an_exact_quantity_that_is_no_longer_recorded(tmp_path):
    kept = [one for one in AFTER[0].readings if one.metric != "cache_bytes"]
    assert is_broken(judged(*stored(tmp_path, five(), [replace(AFTER[0], readings=kept)])), "is no longer recorded")


def test_operators_that_are_no_longer_recorded(tmp_path):
    before = five(provenance={"operators": {"layer": ["mm"]}})
    with_same_times = [replace(one, provenance=one.provenance | {"started_at": str(i)}) for i, one in enumerate(before)]
    assert is_broken(judged(*stored(tmp_path, with_same_times, AFTER)), "operators are no longer recorded")


def test_only_new_cases(tmp_path):
    judgement = judged(*stored(tmp_path, [run(batch=2)], AFTER))
    assert judgement.counts[Outcome.NEW] == 1
    assert is_broken(judgement, "nothing was judged")


@pytest.mark.parametrize("status", [Status.FAILED, Status.INCORRECT, Status.INTERRUPTED, Status.OUT_OF_MEMORY])
@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_a_newest_run_that_did_not_succeed(tmp_path, side, status):
    bad = run(minute=40, status=status, reason="for a reason")
    folders = stored(tmp_path, [*five(), *[bad] * (side == "baseline")], [*AFTER, *[bad] * (side == "candidate")])
    assert is_broken(judged(*folders), f"is {status}: for a reason")
    assert any(verdict.reason.startswith(side) for verdict in judged(*folders).verdicts)


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_an_earlier_repeat_that_failed_is_broken(tmp_path, side):
    bad = run(minute=0, status=Status.INCORRECT, reason="NaN in the output")
    folders = stored(tmp_path, [*five(), *[bad] * (side == "baseline")], [*AFTER, *[bad] * (side == "candidate")])
    assert is_broken(judged(*folders), "is incorrect: NaN in the output")


def test_an_interrupted_run_that_was_made_again_is_no_obstacle(tmp_path):
    cut = run(minute=1, status=Status.INTERRUPTED, reason="interrupted")
    assert judged(*stored(tmp_path, [cut, *five()], [cut, *AFTER])).exit_code == 0


def test_a_failed_case_that_the_baseline_does_not_know(tmp_path):
    bad = run(minute=40, batch=2, status=Status.FAILED, reason="for a reason")
    assert is_broken(judged(*stored(tmp_path, five(), [*AFTER, bad])), "is failed: for a reason")


def refused(minute, **axes):
    return run(minute=minute, status=Status.UNSUPPORTED, reason="no such dtype here", **axes)


def test_a_case_that_became_unsupported(tmp_path):
    judgement = judged(*stored(tmp_path, five(), [refused(40)]))
    assert is_broken(judgement, "now unsupported: no such dtype here")
    assert judgement.counts[Outcome.MISSING] == 1


def test_a_case_that_became_supported_is_new(tmp_path):
    judgement = judged(*stored(tmp_path, [*five(), refused(9, batch=2)], [*AFTER, run(minute=31, batch=2)]))
    assert judgement.counts[Outcome.NEW] == 1
    assert judgement.exit_code == 0


def test_a_case_unsupported_on_both_sides_beside_a_judged_one(tmp_path):
    judgement = judged(*stored(tmp_path, [*five(), refused(9, batch=2)], [*AFTER, refused(40, batch=2)]))
    assert "unsupported on both sides" in str(judgement.verdicts)
    assert judgement.exit_code == 0


def test_nothing_but_unsupported_cases(tmp_path):
    assert is_broken(judged(*stored(tmp_path, [refused(0)], [refused(40)])), "nothing was judged")


def test_runs_that_hold_nothing_to_compare(tmp_path):
    empty = [replace(run(minute=minute), readings=[]) for minute in (0, 40)]
    assert is_broken(judged(*stored(tmp_path, empty[:1], empty[1:])), "neither run holds anything")


def test_times_alone_that_too_few_stored_runs_can_judge(tmp_path):
    def timed(record):
        return replace(record, readings=[one for one in record.readings if one.metric == "latency_s"])

    assert is_broken(judged(*stored(tmp_path, [timed(run())], [timed(AFTER[0])])), "nothing was judged")


@pytest.mark.parametrize("metric", ["flops", "latency_s", "relative_error"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_a_reading_that_is_no_finite_number(tmp_path, side, value, metric):
    wild = Reading(step=99, span="layer", metric=metric, value=value)
    before, after = five(), list(AFTER)
    changed = before if side == "baseline" else after
    changed[0] = replace(changed[0], readings=[*changed[0].readings, wild])
    assert is_broken(judged(*stored(tmp_path, before, after)), "which cannot be compared")


@pytest.mark.parametrize("value", [0.0, -1e-3])
def test_a_time_that_no_clock_gives(tmp_path, value):
    wild = Reading(step=99, span="layer", metric="latency_s", value=value)
    after = replace(AFTER[0], readings=[*AFTER[0].readings, wild])
    assert is_broken(judged(*stored(tmp_path, five(), [after])), "which cannot be compared")


def test_an_exact_quantity_with_two_values_in_one_run(tmp_path):
    twice = Reading(step=1, span="layer", metric="flops", value=1.0)
    after = replace(AFTER[0], readings=[*AFTER[0].readings, twice])
    assert is_broken(judged(*stored(tmp_path, five(), [after])), "must be one value in a run")


@pytest.mark.parametrize("inner", ["", "after"])
def test_a_folder_that_is_compared_with_itself(tmp_path, inner):
    stored(tmp_path, five(), AFTER)
    assert is_broken(judged(tmp_path, tmp_path / inner), "overlap")
    assert is_broken(judged(tmp_path / inner, tmp_path), "overlap")


def test_a_link_to_the_same_folder(tmp_path):
    _, after = stored(tmp_path, five(), AFTER)
    (tmp_path / "link").symlink_to(after)
    assert is_broken(judged(tmp_path / "link", after), "overlap")


def test_a_corrupt_file_of_acceptances(tmp_path):
    accepted = tmp_path / "accepted.yaml"
    accepted.write_text("accepted: everything\n")
    judgement = judged(*stored(tmp_path, five(), AFTER), accepted=accepted)
    assert is_broken(judgement, "accepted.yaml cannot be read")


def test_another_machine(tmp_path):
    assert judged(*stored(tmp_path, five(environment={"machine_id": "ffff"}), AFTER)).exit_code == 3


def test_two_machines_that_nobody_knows(tmp_path):
    nameless = {"environment": {"cpu": None, "machine_id": None}}
    judgement = judged(*stored(tmp_path, five(**nameless), [run(1.001e-3, minute=30, **nameless)]))
    assert judgement.exit_code == 3


def test_a_copied_candidate(tmp_path):
    assert judged(*stored(tmp_path, five(), five()[:1])).exit_code == 3
