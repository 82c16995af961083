import pytest

from suite.rl.memory.workload import Division, devices_needed

HELD = {
    ("policy", "parameters"): 801,
    ("policy", "gradients"): 400,
    ("policy", "optimiser"): 1600,
    ("policy", "optimiser_temporaries"): 240,
    ("policy", "gathered"): 50,
    ("policy", "activations"): 90,
    ("shared", "experience"): 160,
}


def on(shards, gathered_bytes=70):
    return Division(shards=shards, rows=16 // shards, completions=16).of(HELD, gathered_bytes=gathered_bytes)


def test_one_device_holds_what_it_held():
    assert on(1) == HELD


def test_several_divide_what_is_trained_and_the_completions_and_gather_one_unit():
    assert on(8) == {
        ("policy", "parameters"): 101,
        ("policy", "gradients"): 50,
        ("policy", "optimiser"): 200,
        ("policy", "optimiser_temporaries"): 30,
        ("policy", "activations"): 90,
        ("shared", "experience"): 20,
        ("shared", "gathered"): 70,
    }


def test_where_another_engine_computes_no_unit_is_gathered():
    assert ("shared", "gathered") not in on(2, gathered_bytes=0)


def test_the_least_number_of_devices_leaves_the_reserve_free():
    peaks = {1: 60e9, 2: 23e9, 4: 22e9}
    assert devices_needed(peaks, 80, reserve_bytes=1e9) == 1
    assert devices_needed(peaks, 24, reserve_bytes=1e9) == 2
    assert devices_needed(peaks, 24, reserve_bytes=1.5e9) == 4


@pytest.mark.parametrize("gigabytes", [24, 40])
def test_what_fits_on_no_number_of_devices_is_absent(gigabytes):
    assert devices_needed({1: 90e9, 8: 41e9}, gigabytes, reserve_bytes=0) is None
