"""What a record says of this machine's GPUs, over the stand-in for NVML."""

import pytest

from suite.machine import environment
from suite.machine.environment import gpu_memory_bytes, machine_id, read_commit
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, SECOND, device

pytestmark = driver.needs_gcc
TWO = (device(FIRST, "0:17:0"), device(SECOND, "0:ca:0"))
CACHED = (environment.environment, environment.gpus, environment.gpu_memory_bytes, environment.machine_id)


def forget():
    for function in CACHED:
        function.cache_clear()


@pytest.fixture(autouse=True)
def _forgotten():
    """Remember nothing of this machine's own GPUs here, and nothing of these tests' afterwards."""
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("lost 1 0", "lost"),
        ("error nvmlDeviceGetHandleByIndex_v2 999 1", "failed: Unknown Error"),
        ("error nvmlDeviceGetName 15 1", "lost"),
    ],
)
def test_a_lost_gpu_is_named_beside_the_other(play, line, state):
    play(*TWO, line)
    facts = environment.environment()
    assert (facts["gpus"], facts["gpus_unread"]) == (["Test GPU"], {"gpu1": state})
    assert gpu_memory_bytes() == 80 << 30


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ["Test GPU", "Test GPU"]),
        (["error nvmlDeviceGetName 3 0"], ["a GPU that does not give its name", "Test GPU"]),
        (["error nvmlDeviceGetMemoryInfo 3 0"], ["Test GPU", "Test GPU"]),
    ],
)
def test_a_gpu_without_a_name_or_a_size_is_still_counted(play, lines, names):
    play(*TWO, *lines)
    facts = environment.environment()
    assert facts["gpus"] == names
    assert "gpus_unread" not in facts
    assert gpu_memory_bytes() == 80 << 30


def test_a_bundle_names_the_commit_that_it_was_made_of(tmp_path):
    assert read_commit(tmp_path) == {}
    (tmp_path / "COMMIT").write_text("0123456789" * 4)
    assert read_commit(tmp_path) == {"commit": "0123456789" * 4}
    (tmp_path / ".git").mkdir()
    assert read_commit(tmp_path) == {}  # a checkout that git cannot read


@pytest.mark.parametrize("content", [b"", b"main", b"0" * 39, b"\xff" * 40, b"/home/someone/" + b"0" * 40, b"0" * 41])
def test_a_file_that_is_no_commit_is_not_taken_for_one(content, tmp_path):
    (tmp_path / "COMMIT").write_bytes(content)
    assert read_commit(tmp_path) == {}


def test_a_machine_keeps_its_identity_without_a_bus_number(play):
    play(*TWO)
    whole = machine_id()
    forget()
    play(*TWO, "error nvmlDeviceGetPciInfo_v3 13")
    assert machine_id() == whole
