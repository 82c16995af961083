"""Whole cases as `device=cuda`, from their settings to their readings, on a device whose times are known."""

import contextlib
import re
from collections import Counter

import pytest

from suite.configuration.files import read_choice, read_yaml
from suite.measure.devices import device_for
from suite.measure.runner import measure_case
from suite.records.holdings import IN_USE, OF_GPU
from suite.records.metrics import PHASES
from suite.records.record import Status
from suite.theory.layers.roofline import MeasuredCeilings
from tests.fake_nvml import driver
from tests.measure.devices.simulated_cuda import BYTES_PER_S, simulated_cuda
from tests.measure.stateful_runs import in_process
from tests.rl import cases

CEILINGS = MeasuredCeilings(flops_per_s=1e15, bytes_per_s_by_size={1 << 20: BYTES_PER_S})
VARIANTS = {
    "decode": ("gqa", "mqa", "mla", "mla_latent", "mla_expanded"),
    "prefill": ("gqa", "mla", "mla_absorbed", "mla_latent"),
}
"""Those that run other code than the others of their phase: MHA is GQA, and `mla` absorbs in decode."""
STEPS = 3
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # by torch._dynamo, of itself


@pytest.fixture
def chip(monkeypatch):
    with simulated_cuda(monkeypatch) as chip:
        yield chip


def measured(**changes):
    groups = {"workload": "attention", "geometry": "tiny", "measure": "smoke", "telemetry": "off"}
    asked = {**groups, **{name: changes.pop(name) for name in ("attention", "backend")}}
    chosen = {group: read_choice(group, name) for group, name in asked.items()}
    chosen["measure"] |= {"min_steps": STEPS, "max_steps": STEPS, "max_seconds": 1000.0}
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    settings = {**run, "dtype": "float32", "seq_len": 64, "device": "cuda", **changes, **chosen}
    readings, facts, warnings = [], {}, []

    def send(**message):
        readings.extend(message.get("readings", ()))
        facts.update(message.get("facts", {}))
        warnings.extend([message["warning"]] if "warning" in message else [])

    outcome = measure_case(send, settings=settings, ceilings=CEILINGS, takes_energy=False, launches=1)
    assert device_for("cuda", 1).reset() is None
    return outcome, readings, facts, warnings


@pytest.mark.parametrize(
    ("backend", "attention", "phase"),
    [
        *(("eager", attention, phase) for phase, variants in VARIANTS.items() for attention in variants),
        *(("sdpa_folded", attention, "decode") for attention in ("mha", "mla", "mla_expanded")),
        ("sdpa_folded", "gqa", "prefill"),
    ],
)
def test_every_variant_is_captured_and_its_kernel_rotates(chip, backend, attention, phase):
    outcome, readings, facts, warnings = measured(backend=backend, attention=attention, phase=phase)
    assert (outcome, warnings) == ((Status.OK, None), [])
    assert (facts["clock"], facts["cold"]) == ("cuda_events", "every_run")
    counts = Counter((reading.span, reading.metric) for reading in readings)
    for span in ("layer", "kernel"):
        assert counts[span, "latency_s"] == counts[span, "flush_probe_ratio"] == STEPS
        assert counts[span, "peak_bytes"] == 1
    assert facts["cuda_graph"]["layer"]["turns"] == 1
    assert facts["cuda_graph"]["kernel"]["copies"] > 1


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_auto_takes_the_fastest_by_the_devices_own_clock(chip, phase):
    outcome, _, facts, _ = measured(backend="auto", attention="gqa", phase=phase, dtype="bfloat16")
    assert outcome == (Status.OK, None)
    assert facts["backend"] == ("sdpa_folded" if phase == "decode" else "sdpa_flash")
    tried = r"eager took \d\.\d\d× as long" if phase == "decode" else "not tried"
    assert re.search(tried, facts["backend_form"])


@pytest.mark.parametrize("attention", ["gqa", "mla"])
def test_a_training_step_is_launched_in_every_run(chip, attention):
    outcome, readings, facts, _ = measured(backend="eager", attention=attention, phase="train")
    assert outcome == (Status.OK, None)
    assert facts["cuda_graph"] == {"layer": "not offered by the workload", "kernel": "not offered by the workload"}
    assert {reading.span for reading in readings if reading.metric == "latency_s"} == {"layer", "kernel"}


@driver.needs_gcc
@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_training_by_rewards_learns_the_same_as_on_a_cpu(monkeypatch, tmp_path, play, algorithm):
    play(driver.device(pci="0:1:0"))  # where the simulated one lies
    sizes = {"base": {"updates": 1, "batch": 4, "lr": 1e-3}, "prompts_per_step": 2, "eval_prompts": 4, "minibatch": 4}
    settings = cases.settings(algorithm, track_memory=algorithm == "ppo", steps=1, **sizes)
    found = {}
    for device, there in (("cpu", contextlib.nullcontext()), ("cuda", simulated_cuda(monkeypatch))):
        (tmp_path / device).mkdir()
        with there:
            outcome, found[device], facts = in_process({**settings, "device": device}, tmp_path / device)
        assert outcome == (Status.OK, None)
    assert facts["clock"] == "wall"
    of_seed = [[(one.metric, one.value) for one in readings if one.metric == "reward"] for readings in found.values()]
    assert of_seed[0] == of_seed[1] != []
    metrics = {device: {one.metric for one in readings} for device, readings in found.items()}
    assert metrics["cuda"] - metrics["cpu"] == {*OF_GPU}
    used = {one.span: one.value for one in found["cuda"] if one.metric == IN_USE}
    assert used == dict.fromkeys(PHASES, 5 << 30)
