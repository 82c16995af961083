"""RL as device=cuda, where nothing may mix the device's tensors with the host's."""

import pytest
import torch

from suite.configuration.files import read_choice
from suite.measure.devices.cpu import Cpu
from suite.measure.meter import Meter
from suite.rl import workload as module
from suite.rl.workload import RlWorkload
from tests.rl.cases import settings
from tests.rl.second_device import DEVICE, SecondDevice, install

ATTENTION = {"gqa": {"kv_heads": 1}, "mla": {"kv_lora_rank": 8}}
BASE = {"updates": 1, "batch": 2, "lr": 1e-3}
FEW = {
    "steps": 1,
    "prompts_per_step": 2,
    "num_generations": 2,
    "minibatch": 4,
    "eval_prompts": 1,
    "max_completion_length": 3,
}


@pytest.fixture
def device(monkeypatch):
    mode = SecondDevice()
    install(mode, monkeypatch)
    monkeypatch.setattr(module, "device_for", lambda name, threads: Cpu(threads))
    return mode


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # of mixed precision, said once
@pytest.mark.parametrize(
    ("algorithm", "attention", "precision"),
    [
        ("ppo", "gqa", {"dtype": "bfloat16"}),
        ("grpo", "mla", {"autocast": True}),
    ],
)
def test_a_step_in_few_bits_stays_on_the_device(algorithm, attention, precision, device, tmp_path):
    attention = {**read_choice("attention", attention), **ATTENTION[attention]}
    asked = settings(algorithm, device="cuda", attention=attention, track_memory=True, base=BASE, **FEW, **precision)
    with device:
        workload = RlWorkload(asked)
        workload.prepare(tmp_path)
        workload.step(meter := Meter())
    assert device.mixed == set()
    stays = [tensor for tensors, *_ in workload._stage.owned_tensors() for tensor in tensors]
    assert len(stays) > 20
    assert all(map(device.has, stays))
    assert {reading.span for reading in meter.readings} >= {"rollout", "score", "update"}


def test_a_tensor_that_was_left_on_the_host_is_seen(device):
    with device:
        there = torch.ones(2, 3, device=torch.device("cuda"))
        kept = torch.ones(3).to(there.device)
        assert there.device == kept.device == (there * 2)[0].device == DEVICE
        left = torch.ones(3)
        assert left.device.type == "cpu"
        _ = left.sum() * there  # a single number may be of the host
        assert not device.mixed
        _ = left * there
    (mixed,) = device.mixed
    assert mixed.startswith("mul at test_second_device.py:")
