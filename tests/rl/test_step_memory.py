"""The phases of a run with track_memory=true, compared with what torch's allocator did in the same pass."""

import gc
from types import SimpleNamespace

import pytest
import torch
from torch.utils._pytree import tree_leaves

from suite.measure.memory_tracker import MemoryTracker
from suite.measure.meter import Meter
from suite.measure.profiling import AllocatorProbe
from suite.measure.stateful import run_stateful
from suite.records.holdings import (
    ALLOCATOR_PEAK,
    IN_USE,
    LOGITS,
    NOBODY,
    OTHER,
    PART,
    PEAK,
    RESERVED_PEAK,
    holder_parts,
)
from suite.records.metrics import EVALUATE, METRICS, PHASES
from suite.records.record import Status
from suite.rl.step_memory import device_peaks
from suite.rl.workload import RlWorkload
from tests.rl.cases import SIZES, settings

FLOAT = 4


@pytest.fixture
def no_garbage():
    """Keep what an earlier test left from being given back in the middle of this one, which the allocator would see."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Make the folder of the base model, for all tests."""
    return tmp_path_factory.mktemp("shared")


def prepared(shared, algorithm, *, track_memory=True, **changes):
    workload = RlWorkload(settings(algorithm, track_memory=track_memory, **changes))
    workload.prepare(shared)
    return workload


def policy(mlp):
    return {**settings()["policy"], "intermediate_size": mlp}


def stepped(workload, *probes, steps=1):
    meter = Meter(*probes)
    for meter.step in range(steps):
        workload.step(meter)
    return meter.readings


def held(readings, phase, step=0):
    """Return bytes by owner and kind."""
    parts = {
        holder_parts(reading.span): reading.value
        for reading in readings
        if reading.metric == PART and reading.step == step
    }
    return {named[1:]: value for named, value in parts.items() if named[0] == phase}


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.filterwarnings("ignore::UserWarning")  # a build of torch warns where its profiler starts
@pytest.mark.parametrize(("algorithm", "mlp"), [("grpo", 96), ("ppo", 96), ("grpo", 24)])
def test_each_phases_peak_is_the_allocators_to_the_byte(shared, algorithm, mlp):
    """With an MLP wider than the vocabulary, as models have it, an update's peak is not among the logits."""
    workload = prepared(shared, algorithm, policy=policy(mlp), micro_batch=4)
    begun = []

    def begin(span):
        """The allocator's peaks are above what was held before, which an empty phase tells."""
        if span in PHASES:
            with workload._memory._holdings.phase(f"before {len(begun)}"):
                begun.append(span)
        return tuple

    readings = stepped(workload, begin, AllocatorProbe())
    ours = {reading.span: reading.value for reading in readings if reading.metric == PEAK}
    above = [reading.value for reading in readings if reading.metric == "peak_bytes" and reading.span in PHASES]
    theirs = [(span, ours[f"before {n}"] + above[n]) for n, span in enumerate(begun)]
    for phase in PHASES:
        highest = max(value for span, value in theirs if span == phase)
        assert highest == ours[phase], phase


@pytest.mark.parametrize(
    ("algorithm", "owners"),
    [("ppo", {"policy", "critic", "reference"}), ("grpo", {"policy", "reference"}), ("dr_grpo", {"policy"})],
)
def test_all_that_is_held_has_an_owner_that_the_algorithm_needs(shared, algorithm, owners):
    workload = prepared(shared, algorithm, micro_batch=2, entropy_coef=0.01)
    readings = stepped(workload, steps=2)
    assert ("policy", "optimiser") not in held(readings, "rollout")
    constants = workload.plan.constants()["case"]
    for phase in PHASES:
        parts = held(readings, phase, step=1)
        assert {owner for owner, kind in parts if kind == "parameters"} == owners
        assert parts["policy", "parameters"] == FLOAT * constants["policy_parameter_count"]
        assert parts.get(("critic", "parameters"), 0) == FLOAT * constants["critic_parameter_count"]
        assert (NOBODY, OTHER) not in parts
        assert {owner for owner, _ in parts} <= {*owners, NOBODY}
        (peak,) = (
            reading.value for reading in readings if (reading.metric, reading.span, reading.step) == (PEAK, phase, 1)
        )
        assert peak == sum(parts.values())
        moments = 2 * parts["policy", "parameters"]
        assert moments < parts["policy", "optimiser"] < 1.01 * moments
    assert held(readings, "rollout")["policy", "kv_cache"] > 0
    in_update = held(readings, "update")
    assert in_update["policy", "gradients"] == in_update["policy", "parameters"]


class ByWidth(MemoryTracker):
    """Whose logits are what is as wide as the vocabulary, and nothing else."""

    def __init__(self, vocab_size):
        super().__init__()
        self._vocab_size = vocab_size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = super().__torch_dispatch__(func, types, args, kwargs)
        for leaf in tree_leaves(made) if not self._is_away else ():
            if isinstance(leaf, torch.Tensor):
                self.label([leaf], "policy", LOGITS if leaf.shape[-1:] == (self._vocab_size,) else OTHER)
        return made


@pytest.mark.parametrize(("mlp", "entropy_coef"), [(24, 0.0), (24, 0.01), (96, 0.0)])
def test_logits_are_known_by_place_as_by_width(shared, mlp, entropy_coef):
    """Which alone does not do: the smallest policy is as wide as the vocabulary. The update's peak is among the
    logits' gradients, among those of the entropy, and with the wider MLP behind them all."""
    by_place, by_width = (prepared(shared, "grpo", entropy_coef=entropy_coef, policy=policy(mlp)) for _ in range(2))
    vocab_size = by_width.plan.shape.vocab_size
    assert vocab_size not in {*SIZES.values(), mlp}
    by_width._memory._holdings = ByWidth(vocab_size)
    seen = [stepped(workload) for workload in (by_place, by_width)]
    for phase in PHASES:
        of_place, of_width = (held(readings, phase).get(("policy", LOGITS), 0) for readings in seen)
        assert of_place == of_width, phase
    assert held(seen[0], "rollout")["policy", LOGITS] > 0


def test_evaluations_do_not_count(shared):
    often, seldom = (
        [
            reading
            for reading in stepped(prepared(shared, "dr_grpo", eval_every=every), steps=2)
            if reading.metric in (PEAK, PART)
        ]
        for every in (1, 1000)
    )
    assert often == seldom


@pytest.mark.parametrize("algorithm", ["ppo", "grpo"])
def test_recomputed_activations_change_memory_alone(shared, algorithm):
    kept, recomputed = (stepped(prepared(shared, algorithm, checkpointing=again)) for again in (False, True))
    learned = [
        [reading for reading in readings if METRICS[reading.metric].seeded and reading.metric not in (PEAK, PART)]
        for readings in (kept, recomputed)
    ]
    assert learned[0] == learned[1] != []
    activations = [held(readings, "update")["policy", "activations"] for readings in (kept, recomputed)]
    assert activations[1] < 0.8 * activations[0]


def test_watching_changes_nothing_that_follows_from_the_seed(shared):
    watched, unwatched = (
        [reading for reading in stepped(prepared(shared, "ppo", track_memory=tracks)) if METRICS[reading.metric].seeded]
        for tracks in (True, False)
    )
    assert [reading for reading in watched if reading.metric not in (PEAK, PART)] == unwatched


def test_a_long_runs_events_stay_few(shared):
    workload = prepared(shared, "grpo")
    counts = []
    for step in range(4):
        stepped(workload)
        holdings = workload._memory._holdings
        counts.append((len(holdings._events), len(holdings._storages), len(holdings._phases)))
        assert step == 0 or counts[-1] == counts[0]
    parameters = workload.policy.parameters()
    assert not any(parameter._post_accumulate_grad_hooks for parameter in parameters)


def test_the_device_says_the_highest_of_a_phases_runs():
    peaks, used = iter([(5, 6), (9, 9), (7, 8)]), iter([11, None, 10])
    device = SimpleNamespace(
        forget_peaks=lambda: None,
        peak_bytes=lambda: dict(zip((ALLOCATOR_PEAK, RESERVED_PEAK), next(peaks), strict=True)),
    )
    meter = Meter()
    meter.step = 3
    with device_peaks(device, lambda: next(used), meter):
        for span in ("rollout", "score", EVALUATE, "rollout"):
            with meter.span(span):
                torch.ones(1)
    assert [(reading.step, reading.span, reading.metric, reading.value) for reading in meter.readings] == [
        *((3, "rollout", ALLOCATOR_PEAK, 7), (3, "rollout", RESERVED_PEAK, 8), (3, "rollout", IN_USE, 11)),
        *((3, "score", ALLOCATOR_PEAK, 9), (3, "score", RESERVED_PEAK, 9)),
    ]


def test_a_tracked_run_says_its_times_are_not_comparable(shared, tmp_path):
    facts, readings = {}, []

    def send(**message):
        facts.update(message.get("facts", {}))
        readings.extend(message.get("readings", ()))

    asked = {"shared": shared, "checkpoint": tmp_path / "checkpoint.pt", "run_key": "0" * 64, "no_energy": "off"}
    assert run_stateful(send, settings=settings(track_memory=True, steps=1), **asked) == (Status.OK, None)
    assert facts["memory"] == {"tracked": True, "times": "not comparable: every operator was watched"}
    assert any(reading.span == "update/policy/activations" for reading in readings)
    assert not any(reading.metric == ALLOCATOR_PEAK for reading in readings)
