"""Training on given texts: what must not matter to an update."""

import pytest
import torch

from suite.lm.training import Example
from suite.measure.meter import Meter
from suite.records.holdings import NOBODY, OTHER
from suite.rl.base import new_decoder
from suite.rl.sft_data import SftData
from suite.rl.stage import StageBegin
from suite.rl.stages.sft import SftStage
from suite.rl.workload import RlWorkload
from tests.rl.cases import plan, settings
from tests.rl.test_step_memory import held, stepped


class Given(SftData):
    def step_examples(self, step, count):
        return [Example(ids=range(1, length), given=length // 3) for length in (4, 9, 3, 7, 12, 5)]


def taught(**changes):
    wanted, attention = plan(dtype="float64", minibatch=6, **changes), settings()["attention"]
    policy, meter = new_decoder(wanted, attention), Meter()
    at = StageBegin(plan=wanted, planned=wanted.recipe.stages[0], attention=attention, policy=policy, teacher=None)
    SftStage(at, Given(), lr=1e-3).step(meter, looks=False)
    noted = {reading.metric: reading.value for reading in meter.readings}
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach(), noted


def test_micro_batches_of_texts_of_any_length_do_not_matter():
    (whole, seen), (parts, seen_in_parts) = taught(), taught(micro_batch=2)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-8)
    assert seen["gradient_norm"] > 0
    assert seen_in_parts == pytest.approx(seen, rel=1e-7)  # shares of the texts are float32


@pytest.mark.parametrize("kind", ["own", "own_unfiltered"])
def test_own_answers_have_owners(tmp_path, kind):
    alone = {"stages": [{"kind": kind, "share": 1.0}], "rollouts": 2}
    workload = RlWorkload(settings(track_memory=True, recipe=alone))
    workload.prepare(tmp_path)
    readings = stepped(workload)
    for phase in ("rollout", "update"):
        parts = held(readings, phase)
        assert parts
        assert (NOBODY, OTHER) not in parts, phase
