"""Every way in which a gate on stored records could be green by accident, with the exit code that it must have."""

import os
from dataclasses import replace

import pytest

from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.folders import judge_stored
from suite.records.record import Reading, Status
from tests.gate.stored_runs import five, run, stored

AFTER = [run(1.001e-3, minute=30)]
BROKEN = 4
REFUSED = {"status": Status.UNSUPPORTED, "reason": "no such dtype here"}
NAMELESS = {"environment": {"cpu": None, "machine_id": None}}
INTERRUPTED = run(minute=1, status=Status.INTERRUPTED, reason="interrupted")


def judged(before, after, **given):
    return judge_stored(before, after, tolerances=Tolerances(), **given)


def is_broken(judgement, said):
    """Exit code 4, and a verdict that says why."""
    reasons = [verdict.reason for verdict in judgement.verdicts]
    assert any(said in reason for reason in reasons), reasons
    return judgement.exit_code == BROKEN


def without(metric, span=None):
    """The candidate without a metric, of one span or of all."""
    kept = [one for one in AFTER[0].readings if one.metric != metric or span not in (None, one.span)]
    return [replace(AFTER[0], readings=kept)]


def of_times(record):
    return replace(record, readings=[one for one in record.readings if one.metric == "latency_s"])


def with_operators():
    """Five stored runs that recorded operators."""
    before = five(provenance={"operators": {"layer": ["mm"]}})
    return [replace(one, provenance=one.provenance | {"started_at": str(place)}) for place, one in enumerate(before)]


def with_reading(record, metric, value, step=99):
    reading = Reading(step=step, span="layer", metric=metric, value=value)
    return replace(record, readings=[*record.readings, reading])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, AFTER, "missing baseline: before is not a folder"),
        ([], AFTER, "missing baseline: before holds no run"),
        (five(), None, "missing candidate: after is not a folder"),
        (five(), [], "missing candidate: after holds no run"),
        ([], [], "missing candidate"),
        ([*five(), run(minute=9, batch=2)], AFTER, "the candidate has no run of it"),
        (five(), without("latency_s", "kernel"), "is no longer timed"),
        (five(), without("cache_bytes"), "is no longer recorded"),
        (with_operators(), AFTER, "operators are no longer recorded"),
        ([run(batch=2)], AFTER, "nothing was judged"),  # a new case alone
        ([*five(), run(batch=2)], [*AFTER, run(minute=31, batch=3)], "the candidate has no run of it"),
        (
            five(),
            [*AFTER, run(minute=40, batch=2, status=Status.FAILED, reason="for a reason")],
            "has the status failed: for a reason",
        ),
        (five(), [run(minute=40, **REFUSED)], "unsupported now: no such dtype here"),
        ([run(minute=0, **REFUSED)], [run(minute=40, **REFUSED)], "nothing was judged"),
        ([replace(run(), readings=[])], [replace(run(minute=40), readings=[])], "neither run has a quantity"),
        ([of_times(run())], [of_times(AFTER[0])], "nothing was judged"),  # by too few stored runs
        (five(), [with_reading(AFTER[0], "latency_s", 0.0)], "which cannot be compared"),
        (five(), [with_reading(AFTER[0], "latency_s", -1e-3)], "which cannot be compared"),
        (five(), [with_reading(AFTER[0], "flops", 1.0, step=1)], "must be one value in a run"),
    ],
)
def test_what_cannot_be_judged_is_broken(tmp_path, before, after, said):
    assert is_broken(judged(*stored(tmp_path, before, after)), said)


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (five(), AFTER, 0),  # green unless something is wrong
        ([INTERRUPTED, *five()], [INTERRUPTED, *AFTER], 0),  # it was made again
        ([*five(), run(minute=9, batch=2, **REFUSED)], [*AFTER, run(minute=31, batch=2)], 0),  # supported now
        ([*five(), run(minute=9, batch=2, **REFUSED)], [*AFTER, run(minute=40, batch=2, **REFUSED)], 0),
        (five(environment={"machine_id": "ffff"}), AFTER, 3),
        (five(**NAMELESS), [run(1.001e-3, minute=30, **NAMELESS)], 3),  # two machines that nobody knows
        (five(), five()[:1], 3),  # a copied candidate
    ],
)
def test_what_is_judged_has_its_exit_code(tmp_path, before, after, code):
    assert judged(*stored(tmp_path, before, after)).exit_code == code


def test_only_unfinished_runs(tmp_path):
    before, after = stored(tmp_path, five(), AFTER)
    (record,) = after.rglob("record.json")
    record = record.rename(tmp_path / "record.json")
    judgement = judged(before, after)
    assert is_broken(judgement, "missing candidate")
    assert "unfinished run" in judgement.warnings[0]
    assert is_broken(judged(record, after), "missing baseline")  # a file in the place of a folder


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
    reason = "before/closed cannot be read: the folder cannot be listed (PermissionError)"
    assert is_broken(judged(before, after), reason)


def test_a_record_that_is_a_link(tmp_path):
    before, after = stored(tmp_path, five(), AFTER)
    (linked,) = after.rglob("record.json")
    linked.rename(after / "whole")
    linked.symlink_to(after / "nowhere")
    assert is_broken(judged(before, after), f"after/{linked.parent.name} cannot be read: record.json is a link")


@pytest.mark.parametrize("side", ["baseline", "candidate"])
@pytest.mark.parametrize(
    ("status", "minute"),
    [
        *((status, 40) for status in (Status.FAILED, Status.INCORRECT, Status.INTERRUPTED, Status.OUT_OF_MEMORY)),
        (Status.INCORRECT, 0),  # an earlier repeat
    ],
)
def test_a_run_that_did_not_succeed(tmp_path, side, status, minute):
    bad = run(minute=minute, status=status, reason="for a reason")
    folders = stored(tmp_path, [*five(), *[bad] * (side == "baseline")], [*AFTER, *[bad] * (side == "candidate")])
    assert is_broken(judged(*folders), f"has the status {status}: for a reason")
    assert any(verdict.reason.startswith(side) for verdict in judged(*folders).verdicts)


@pytest.mark.parametrize("metric", ["flops", "latency_s", "relative_error"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_a_reading_that_is_no_finite_number(tmp_path, side, value, metric):
    before, after = five(), list(AFTER)
    changed = before if side == "baseline" else after
    changed[0] = with_reading(changed[0], metric, value)
    assert is_broken(judged(*stored(tmp_path, before, after)), "which cannot be compared")


def test_a_folder_that_is_compared_with_itself(tmp_path):
    _, after = stored(tmp_path, five(), AFTER)
    (tmp_path / "link").symlink_to(after)
    for one, other in ((tmp_path, tmp_path), (tmp_path, after), (after, tmp_path), (tmp_path / "link", after)):
        assert is_broken(judged(one, other), "overlap")


def test_a_corrupt_file_of_acceptances(tmp_path):
    accepted = tmp_path / "accepted.yaml"
    accepted.write_text("accepted: everything\n")
    judgement = judged(*stored(tmp_path, five(), AFTER), accepted=accepted)
    assert is_broken(judgement, "accepted.yaml cannot be read")
