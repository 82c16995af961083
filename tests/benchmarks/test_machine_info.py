from tests.benchmarks.conftest import pytest_benchmark_update_machine_info


def test_the_json_says_what_the_times_depend_on():
    machine_info = {"node": "as pytest-benchmark found it"}
    pytest_benchmark_update_machine_info(config=None, machine_info=machine_info)
    assert set(machine_info) == {"node", "torch", "threads", "gpus", "variables"}
    assert machine_info["torch"][0].isdigit()
    assert machine_info["threads"] >= 1
