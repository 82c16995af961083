"""What a terminal says of a run of reinforcement learning."""

from dataclasses import replace

from suite.console.rl import summary
from suite.records.holdings import held_readings
from suite.records.record import Reading
from tests.records.factory import build

MIB = 1 << 20


def evaluated(*more):
    accuracy = [Reading(step=step, span="evaluate", metric="heldout_accuracy", value=step / 4) for step in (0, 2)]
    return replace(build(), readings=[*accuracy, *more])


def test_the_phase_holding_most_is_named_with_its_largest_parts():
    update = {
        ("policy", "parameters"): 2 * MIB,
        ("policy", "kv_cache"): 5 * MIB,
        ("critic", "optimiser"): 4 * MIB,
        ("shared", "experience"): MIB,
        ("policy", "logits"): 3 * MIB,
    }
    record = evaluated(
        *held_readings(0, "rollout", {("policy", "parameters"): 2 * MIB}),
        *held_readings(0, "update", {("policy", "parameters"): 14 * MIB}),
        *held_readings(1, "update", update),
    )
    said = summary(record).lines
    assert said[0] == ("learnt", "held-out accuracy 0% → 50%")
    assert said[-2:] == [
        (
            "memory",
            "peak 15.0 MiB in update: policy kv cache 5.00 MiB, critic optimiser 4.00 MiB, policy logits 3.00 MiB, "
            "policy parameters 2.00 MiB",
        ),
        ("", "every operator was watched to find it, so the times above cannot be compared"),
    ]


def test_of_memory_nothing_is_said_where_none_was_tracked():
    assert "memory" not in dict(summary(evaluated()).lines)


def test_what_was_counted_on_a_gpu_is_said_by_phase():
    sizes = {"allocator_peak_bytes": 3, "reserved_peak_bytes": 4, "gpu_used_bytes": 6}
    counted = [
        Reading(step=step, span=span, metric=metric, value=(size - step) * MIB)
        for span, step in (("rollout", 0), ("update", 0), ("update", 1))
        for metric, size in sizes.items()
        if (span, metric) != ("rollout", "gpu_used_bytes")
    ]
    assert summary(evaluated(*counted)).lines[-2:] == [
        ("GPU memory", "rollout: 3.00 MiB allocated, 4.00 MiB reserved"),
        (
            "",
            "update: 3.00 MiB allocated, 4.00 MiB reserved, 6.00 MiB in use on the GPU, with context and others",
        ),
    ]
