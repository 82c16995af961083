"""The number of a case that a sweeper gets."""

import pickle
from dataclasses import replace

import pytest

from suite.commands.run import objective_value
from suite.machine.streams import CommandFailedError
from suite.records.record import Reading, Status
from tests.records.factory import build


def readings(*values, metric="heldout_accuracy"):
    return [Reading(step=step, span="evaluate", metric=metric, value=value) for step, value in enumerate(values)]


def of(found):
    return replace(build(), readings=found)


def test_the_last_step_counts_and_of_times_the_median():
    assert objective_value([of(readings(0.1, 0.7, 0.4))], "evaluate.heldout_accuracy") == 0.4
    assert objective_value([of(readings(3.0, 1.0, 9.0, metric="latency_s"))], "evaluate.latency_s") == 3.0


def test_without_a_name_there_is_no_value():
    assert objective_value([build()], None) is None
    assert objective_value([build(status=Status.UNSUPPORTED, reason="no GPU")], None) is None


@pytest.mark.parametrize(
    ("status", "name", "code"),
    [(Status.FAILED, None, 1), (Status.OUT_OF_MEMORY, None, 3), (Status.UNSUPPORTED, "evaluate.loss", 3)],
)
def test_a_case_that_did_not_end_well_has_its_exit_code(status, name, code):
    with pytest.raises(CommandFailedError, match="no such thing") as failure:
        objective_value([build(status=status, reason="no such thing")], name)
    assert pickle.loads(pickle.dumps(failure.value)).code == code


def test_a_name_of_no_reading_is_refused_with_the_choices():
    with pytest.raises(CommandFailedError, match=r"is no reading of .*, which has evaluate\.heldout_accuracy"):
        objective_value([of(readings(0.5))], "evaluate.loss")
    with pytest.raises(ValueError, match=r"objective must be a span and a metric, as layer\.latency_s; got 'loss'"):
        objective_value([build()], "loss")
