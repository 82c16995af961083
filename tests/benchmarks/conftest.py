"""What pytest-benchmark's JSON says of the machine, and the one thread that the suite judges by."""

from typing import Any

import pytest
import torch

from suite.machine.environment import environment


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """A time of a torch layer depends on more than the processor's name: two files that differ here are no pair."""
    facts = environment()
    machine_info["torch"] = facts["packages"]["torch"]
    machine_info["threads"] = torch.get_num_threads()
    machine_info["gpus"] = facts["gpus"]
    machine_info["variables"] = facts["variables"]


@pytest.fixture
def one_thread():
    """Thread CPU time is a latency only where one thread does the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
