import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from suite.measure.memory_tracker import BackwardScope, MemoryTracker, attribute_to
from suite.measure.profiling import AllocatorProbe

KIB = 1024


def kib(count):
    return torch.empty(count * 256)


def test_a_peak_is_by_owner_and_kind_when_most_was_held():
    tracker = MemoryTracker()
    with tracker, tracker.phase("work"):
        with attribute_to("policy", "activations"):
            kept = kib(4)
            gone = kib(8)
        del gone
        with attribute_to("critic", "activations"), attribute_to(kind="logits"):
            more = kib(6)
    assert tracker.peaks()["work"].held == {("policy", "activations"): 12 * KIB}
    del kept, more


def test_memory_held_before_a_phase_counts_and_later_does_not():
    before, tracker = kib(4), MemoryTracker()
    tracker.label([before], "policy", "parameters")
    with tracker:
        with tracker.phase("first"):
            pass
        with tracker.phase("second"):
            kib(2)
        kib(100)
    peaks = tracker.peaks()
    assert (peaks["first"].bytes, peaks["second"].bytes) == (4 * KIB, 6 * KIB)


def test_a_phase_that_runs_twice_has_its_higher_peak():
    tracker = MemoryTracker()
    with tracker:
        for count in (3, 7, 5):
            with tracker.phase("work"):
                kib(count)
    assert tracker.peaks()["work"].bytes == 7 * KIB


def test_a_view_holds_nothing_and_keeps_its_storage():
    tracker = MemoryTracker()
    with tracker, tracker.phase("work"):
        view = kib(4)[:2]
        kib(1)
    assert tracker.peaks()["work"].bytes == 5 * KIB
    del view


def test_a_gradient_is_known_from_its_beginning():
    weight = torch.nn.Parameter(torch.ones(64, 64))
    tracker = MemoryTracker()
    tracker.label([weight], "policy", "parameters")
    handles = tracker.label_gradients([weight], "policy")
    with tracker, tracker.phase("work"), attribute_to("policy", "activations"):
        (torch.ones(4, 64) @ weight).sum().backward()
    held = tracker.peaks()["work"].held
    assert held["policy", "gradients"] == held["policy", "parameters"] == 16 * KIB
    for handle in handles:
        handle.remove()


def test_a_backward_pass_is_labelled_by_the_code_that_it_is_of():
    tracker, wide = MemoryTracker(), torch.zeros(4, 256, requires_grad=True)
    with tracker, attribute_to("policy", "activations"):
        scope = BackwardScope("logits")
        inner = scope.leaves(wide * 2)
        loss = scope.enters(inner.exp()).sum()
        with tracker.phase("backward"):
            loss.backward()
    # What the exponential gives back is within. Its value, kept for that, what the product gives back, the sum and the
    # loss's gradient are not.
    assert tracker.peaks()["backward"].held == {
        ("policy", "logits"): 4 * KIB,
        ("policy", "activations"): 2 * 4 * KIB + 2 * 4,
    }


def test_storages_made_while_looking_away_are_not_seen():
    tracker = MemoryTracker()
    with tracker, tracker.phase("work"):
        before = kib(4)
        with tracker.away():
            unseen = kib(100)
            del before
        after = kib(2)
    assert tracker.peaks()["work"].bytes == 4 * KIB
    with tracker, tracker.phase("later"):
        pass
    assert tracker.peaks()["later"].bytes == 2 * KIB
    del unseen, after


def test_after_a_restart_held_storages_keep_their_labels():
    tracker = MemoryTracker()
    with tracker:
        with tracker.phase("first"), attribute_to("policy", "activations"):
            kept, gone = kib(4), kib(8)
        del gone
        tracker.restart()
        with tracker.phase("second"):
            more = kib(1)
    peaks = tracker.peaks()
    assert list(peaks) == ["second"]
    assert peaks["second"].held == {("policy", "activations"): 4 * KIB, ("shared", "other"): 1 * KIB}
    del kept, more
    tracker.restart()
    with tracker, tracker.phase("third"):
        pass
    assert tracker.peaks()["third"].bytes == 0


def work():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64))
    optimiser = torch.optim.AdamW(net.parameters(), foreach=False)
    for _ in range(2):
        net(torch.ones(32, 64)).square().mean().backward()
        optimiser.step()


@pytest.mark.filterwarnings("ignore::UserWarning")  # a build of torch warns where its profiler starts
def test_the_peak_is_the_allocators_and_that_of_fake_tensors():
    tracker = MemoryTracker()
    stop = AllocatorProbe()("work")
    with tracker, tracker.phase("work"):
        work()
    (of_allocator,) = stop()
    assert tracker.peaks()["work"].bytes == of_allocator["value"]
    of_fakes = MemoryTracker()
    with FakeTensorMode(), of_fakes, of_fakes.phase("work"):
        work()
    assert of_fakes.peaks()["work"].held == tracker.peaks()["work"].held


def test_a_packed_weight_has_no_storage_and_is_held_all_the_same():
    tracker, weight = MemoryTracker(), torch.randn(64, 32)
    with tracker, tracker.phase("work"):
        with attribute_to("engine", "parameters"):
            packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        del packed
        kib(1)
    assert tracker.peaks()["work"].held == {("engine", "parameters"): 8 * KIB}
