"""Two folders of decoders trained on questions: an arm is judged over runs paired by seed, steps are no repeats."""

from dataclasses import replace

import pytest

from suite.configuration.files import choices
from suite.gate.rules.fingerprint import is_judged_by_seed
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.pairing import check_can_be_timed
from suite.gate.stored.folders import judge_stored
from suite.gate.stored.seed_pairs import Judging, judging_of, loss_of_a_token
from suite.gate.verdict import Outcome
from suite.records.record import Reading
from tests.gate.seed_runs import timed
from tests.gate.side_by_side.test_pairing import case
from tests.gate.stored_runs import stored
from tests.report.quality_records import quality_record

USUAL = (0.78, 0.71, 0.80, 0.74, 0.77)


def trained(finals, *, cost_s=1.0, minute=0):
    """A run of each seed, whose second step takes twice as long as its first."""
    records = []
    for seed, final in enumerate(finals):
        at = f"2026-03-01T10:{minute:02}:{seed:02}+00:00"
        made = quality_record(final, seed=seed, settings={"device": "cpu", "threads": 1}, started_at=at, decode_s=None)
        taken = [timed(step, "train", cost_s * (1 + step + seed / 50 + minute * 1e-9)) for step in range(2)]
        records.append(replace(made, readings=[*made.readings, *taken]))
    return records


def judged(tmp_path, before, after):
    found = judge_stored(*stored(tmp_path, before, after), tolerances=Tolerances.load())
    return {one.span: one for one in found.verdicts}, found


def test_runs_that_answer_bit_equally_are_the_same(tmp_path):
    verdicts, found = judged(tmp_path, trained(USUAL), trained(USUAL, minute=30, cost_s=1.01))
    assert verdicts[""].reason.endswith("bit-equal over 5 seeds")
    assert set(verdicts) == {"", "train"}
    assert verdicts["train"].before == pytest.approx(3.08, rel=1e-3)
    assert {one.outcome for one in found.verdicts} == {Outcome.SAME}


def test_a_share_that_falls_at_every_seed_is_worse(tmp_path):
    lower = [final - fall for final, fall in zip(USUAL, (0.10, 0.11, 0.09, 0.10, 0.10), strict=True)]
    verdicts, found = judged(tmp_path, trained(USUAL), trained(lower, minute=30))
    assert verdicts["last"].outcome is verdicts["mean"].outcome is Outcome.SLOWER
    assert verdicts["last"].reason == "0.760 before, 0.660 now over 5 paired seeds: −0.100 (−0.112 to −0.088)"
    assert verdicts["last"].metric == "answer_accuracy"
    assert found.exit_code == 1


def test_training_that_takes_longer_is_slower(tmp_path):
    verdicts, _ = judged(tmp_path, trained(USUAL), trained(USUAL, minute=30, cost_s=1.5))
    assert verdicts["train"].outcome is Outcome.SLOWER


def test_a_compressed_model_is_judged_by_its_loss_of_a_token():
    record = quality_record()
    read = [Reading(step=step, span="text", metric="text_loss", value=loss) for step, loss in enumerate((30.0, 50.0))]
    read += [Reading(step=step, span="text", metric="text_tokens", value=20.0) for step in range(2)]
    assert loss_of_a_token(replace(record, readings=read)).value == pytest.approx(2.0)
    assert loss_of_a_token(record) is None


BY_SEED = [name for name in choices("workload") if is_judged_by_seed(name)]


@pytest.mark.parametrize("workload", BY_SEED)
def test_a_workload_judged_by_seed_is_never_timed(workload):
    assert isinstance(judging_of(workload), Judging)
    with pytest.raises(ValueError, match=f"no case of workload={workload}, which is judged by stored records"):
        check_can_be_timed([case(workload=workload)], "gate")
