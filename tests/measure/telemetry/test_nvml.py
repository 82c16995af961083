"""The unmodified nvidia-ml-py over a library of our own: values, units, states, and which GPU is torch's."""

import hashlib
import json
import subprocess
import sys
import time

import pytest

from suite.machine.nvml import FoundGpus, State, find_gpus
from suite.measure.telemetry.counters import EnergyCounter, NoCounter, energy_counter, gpu_memory
from suite.measure.telemetry.nvml import Nvml
from suite.measure.telemetry.source import Target
from tests.fake_nvml import driver
from tests.fake_nvml.driver import AMPERE, FIRST, SECOND, TURING, device

pytestmark = driver.needs_gcc
IN_USE = Target(pid=100, cuda_devices=[{"uuid": FIRST, "pci": None}])


def seen(nvml, target=IN_USE, *, is_slow_tick=True):
    return {(device, quantity): value for device, quantity, value in nvml.sample(target, is_slow_tick=is_slow_tick)}


def test_every_quantity_of_a_gpu_is_in_the_unit_of_its_name(play):
    script = play(device(), "power 0 0:200", "reasons 0 0:0x4", "process 0 7 1000")
    time.sleep(0.1)
    nvml = Nvml()
    found = seen(nvml)
    energy_j = found.pop(("gpu0", "energy_j")) - 123456.789
    assert energy_j == pytest.approx(200 * (time.monotonic() - script.epoch_s), abs=200 * 0.03)
    assert found == {
        ("gpu0", "power_instant_w"): 200.0,
        ("gpu0", "power_average_w"): pytest.approx(200.0, abs=0.01),
        ("gpu0", "event_reasons"): 4.0,
        ("gpu0", "utilisation_share"): 0.87,
        ("gpu0", "memory_used_bytes"): 5 << 30,
        ("gpu0", "sm_clock_hz"): 1.755e9,
        ("gpu0", "memory_clock_hz"): 2.619e9,
        ("gpu0", "temperature_c"): 61.0,
        ("gpu0", "pcie_sent_bytes_per_s"): 1e6,
        ("gpu0", "pcie_received_bytes_per_s"): 2e6,
        ("gpu0", "other_processes"): 0.0,  # the one that is there must be ours, under the host's number
    }


@pytest.mark.parametrize(
    ("architecture", "pci_id", "quantities", "what_usage_is"),
    [
        (driver.HOPPER, "233010de", {"power_instant_w", "power_average_w"}, "average over 1 s"),
        (AMPERE, "223510de", {"power_instant_w", "power_average_w"}, "average over 1 s"),
        (AMPERE, "20b010de", {"power_instant_w"}, "instant"),  # an A100
        (TURING, "1eb810de", {"power_instant_w"}, "instant"),
    ],
)
def test_average_power_is_never_called_instant(play, architecture, pci_id, quantities, what_usage_is):
    play(device(pci_id=pci_id, architecture=architecture), "power 0 0:100 0.05:100 0.051:300")
    time.sleep(0.1)
    nvml = Nvml()
    found = seen(nvml)
    assert {quantity for _, quantity in found if quantity.startswith("power")} == quantities
    gpu = nvml.facts(IN_USE)["devices"]["gpu0"]
    assert (gpu["power_usage_is"], gpu["power_limit_w"]) == (what_usage_is, 700.0)
    assert (gpu["highest_sm_clock_hz"], gpu["highest_memory_clock_hz"]) == (1.98e9, 2.619e9)
    assert (gpu["uncorrected_memory_errors"], gpu["persistence_mode"]) == (2.0, 1.0)
    if "power_average_w" in quantities:
        assert found["gpu0", "power_instant_w"] == 300
        assert 100 < found["gpu0", "power_average_w"] < 290


@pytest.mark.parametrize(
    ("lines", "state", "why"),
    [
        (["error nvmlInitWithFlags 9"], State.NO_DRIVER, "no NVIDIA driver"),
        (["error nvmlInitWithFlags 12"], State.NO_DRIVER, "no NVIDIA driver"),
        (["error nvmlInitWithFlags 4"], State.NO_PERMISSION, "does not let this user ask"),
        (["error nvmlInitWithFlags 999"], State.FAILED, "Unknown Error"),
        ([], State.NO_DEVICE, "but no GPU"),
        ([device(), "error nvmlDeviceGetHandleByIndex_v2 4"], State.NO_PERMISSION, "gpu0: no_permission"),
        ([device(), "error nvmlDeviceGetCount_v2 999"], State.FAILED, "does not answer"),
        ([device(), "lost 0 0"], State.LOST, "gpu0: lost"),
    ],
)
def test_why_there_is_no_gpu_has_a_name(play, lines, state, why):
    play(device())  # so that the stand-in is known to be loaded
    play(*lines)
    nvml = Nvml()
    assert (nvml.state, seen(nvml)) == (state, {})
    assert why in nvml.why


TWO = (device(FIRST, "0:17:0"), device(SECOND, "0:ca:0"))
ON_SECOND = Target(pid=100, cuda_devices=[{"uuid": SECOND, "pci": None}])


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("lost 0 0", "lost"),
        ("error nvmlDeviceGetHandleByIndex_v2 15 0", "lost"),
        ("error nvmlDeviceGetHandleByIndex_v2 4 0", "no_permission"),
        ("error nvmlDeviceGetHandleByIndex_v2 999 0", "failed: Unknown Error"),
        ("error nvmlDeviceGetName 15 0", "lost"),
    ],
)
def test_a_gpu_that_cannot_be_read_takes_no_other_with_it(play, line, state):
    play(*TWO, line)
    nvml = Nvml()
    assert nvml.state is State.MEASURED
    assert {label for label, _ in seen(nvml, ON_SECOND)} == {"gpu1"}
    unread, other = nvml.facts(ON_SECOND)["devices"].values()
    assert (unread["state"], unread["used"]) == (state, False)
    assert (other["name"], other["state"], other["used"], other["missing"]) == ("Test GPU", "measured", True, {})
    assert isinstance(energy_counter({"uuid": SECOND, "pci": None}), EnergyCounter)
    counter = energy_counter({"uuid": FIRST, "pci": None})
    assert isinstance(counter, NoCounter)
    assert counter.why.endswith(f"; gpu0: {state}")


def test_a_gpu_that_is_not_used_is_asked_at_slow_ticks_alone(play):
    play(*TWO)
    nvml = Nvml()
    asked = {is_slow: {one.device for one in nvml.sample(IN_USE, is_slow_tick=is_slow)} for is_slow in (False, True)}
    assert asked == {False: {"gpu0"}, True: {"gpu0", "gpu1"}}


OF_A_FUNCTION = {
    "nvmlDeviceGetName": {"name"},
    "nvmlDeviceGetUUID": {"uuid"},
    "nvmlDeviceGetPciInfo_v3": {"pci"},
    "nvmlDeviceGetMemoryInfo": {"memory_used_bytes"},
    "nvmlDeviceGetMemoryInfo_v2": {"held_before_bytes"},
    "nvmlDeviceGetUtilizationRates": {"utilisation_share"},
    "nvmlDeviceGetPowerUsage": {"power_average_w"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_w"},
    "nvmlDeviceGetFieldValues": {"power_instant_w"},
    "nvmlDeviceGetMaxClockInfo": {"highest_sm_clock_hz", "highest_memory_clock_hz"},
    "nvmlDeviceGetTotalEccErrors": {"uncorrected_memory_errors"},
    "nvmlDeviceGetPersistenceMode": {"persistence_mode"},
    "nvmlDeviceGetTotalEnergyConsumption": {"energy_j"},
    "nvmlDeviceGetTemperature": {"temperature_c"},
    "nvmlDeviceGetClockInfo": {"sm_clock_hz", "memory_clock_hz"},
    "nvmlDeviceGetPcieThroughput": {"pcie_sent_bytes_per_s", "pcie_received_bytes_per_s"},
    "nvmlDeviceGetCurrentClocksEventReasons": {"event_reasons"},
    "nvmlDeviceGetMPSComputeRunningProcesses_v3": {"mps_processes"},
    "nvmlDeviceGetGraphicsRunningProcesses_v3": {"graphics_processes"},
}
"""What is missing without a function. Without another nothing is: a second one answers, or it says nothing of a GPU."""
CANNOT_DO_WITHOUT = {"nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"}


def test_a_library_without_any_one_function_loses_that_alone(play):
    play(*TWO, "power 0 0:100", "process 0 100 1")
    command = [sys.executable, "-m", "tests.fake_nvml.without_a_function"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {one["without"]: one for one in map(json.loads, said.splitlines())}
    assert set(found) > {*OF_A_FUNCTION, *CANNOT_DO_WITHOUT, "nvmlDeviceGetComputeRunningProcesses_v3"}
    for name, one in found.items():
        if name in CANNOT_DO_WITHOUT:
            assert (one["state"], one["gpus"]) in {("failed", 0), ("missing_counter", 0)}
            continue
        missing = OF_A_FUNCTION.get(name, set())
        unread = missing & {*found["nvmlShutdown"]["quantities"]} | (
            {"power_average_w"} if name == "nvmlDeviceGetArchitecture" else set()
        )
        assert (one["state"], one["gpus"], set(one["missing"])) == ("measured", 2, missing), name
        assert set(one["quantities"]) == set(found["nvmlShutdown"]["quantities"]) - unread, name


@pytest.mark.parametrize(
    ("architecture", "line"),
    [
        (driver.HOPPER, "error nvmlDeviceGetArchitecture 999"),
        (0xFFFFFFFF, ""),
        (AMPERE, "error nvmlDeviceGetPciInfo_v3 13"),  # an A100's would be instant
    ],
)
def test_power_averaged_over_an_unknown_time_is_not_read(play, architecture, line):
    play(device(architecture=architecture), "power 0 0:100", line)
    nvml = Nvml()
    found = seen(nvml)
    assert found["gpu0", "power_instant_w"] == 100  # field 186
    assert ("gpu0", "power_average_w") not in found
    gpu = nvml.facts(IN_USE)["devices"]["gpu0"]
    assert gpu["power_usage_is"] == "unknown"
    assert gpu["missing"]["power_average_w"] == "failed: NVML does not say over what the power is averaged"


def test_a_library_older_than_ampere_gives_instant_power(play):
    play(device(), "power 0 0:100", "error nvmlDeviceGetArchitecture 13")
    assert Nvml().facts(IN_USE)["devices"]["gpu0"]["power_usage_is"] == "instant"


@pytest.mark.parametrize(("code", "state"), [(3, State.MEASURED), (999, State.FAILED)])
def test_energy_of_a_gpu_that_may_be_split_is_nobodys(play, code, state):
    play(device(), "power 0 0:100", f"error nvmlDeviceGetMigMode {code}")
    counter = energy_counter({"uuid": FIRST, "pci": None})
    assert getattr(counter, "state", State.MEASURED) is state
    missing = {} if code == 3 else {"mig": "failed: Unknown Error"}
    assert Nvml().facts(IN_USE)["devices"]["gpu0"]["missing"] == missing


def test_a_machine_without_the_library_says_so(play, monkeypatch):
    play(device())
    monkeypatch.delenv("FAKE_NVML")
    assert Nvml().state is State.NO_DRIVER


@pytest.mark.parametrize(
    ("failing", "quantity"),
    [
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_j"),
        ("field_186", "power_instant_w"),
        ("nvmlDeviceGetPowerUsage", "power_average_w"),
        ("nvmlDeviceGetUtilizationRates", "utilisation_share"),
        ("nvmlDeviceGetCurrentClocksEventReasons", "event_reasons"),
        ("nvmlDeviceGetComputeRunningProcesses_v3", "other_processes"),
    ],
)
@pytest.mark.parametrize(("code", "state"), [(3, State.MISSING_COUNTER), (4, State.NO_PERMISSION)])
def test_an_unreadable_counter_is_missing_and_the_others_stay(play, failing, quantity, code, state):
    play(device(), "power 0 0:100", f"error {failing} {code}")
    nvml = Nvml()
    found = seen(nvml)
    assert ("gpu0", quantity) not in found
    assert ("gpu0", "temperature_c") in found
    assert nvml.facts(IN_USE)["devices"]["gpu0"]["missing"] == {quantity: state}


def test_a_gpu_lost_midway_ends_and_the_other_goes_on(play):
    play(device(), device(SECOND, "0:65:0"), "lost 0 0.2")
    nvml = Nvml()
    assert {label for label, _ in seen(nvml)} == {"gpu0", "gpu1"}
    time.sleep(0.25)
    assert {label for label, _ in seen(nvml)} == {"gpu1"}
    states = {label: gpu["state"] for label, gpu in nvml.facts(IN_USE)["devices"].items()}
    assert states == {"gpu0": State.LOST, "gpu1": State.MEASURED}


def test_a_split_gpu_says_so_and_counts_nothing_for_a_case(play):
    play(device(), "mig 0", "power 0 0:100")
    nvml = Nvml()
    assert nvml.facts(IN_USE)["devices"]["gpu0"]["state"] == State.MIG
    for identity in ({"uuid": FIRST, "pci": None}, {"uuid": "MIG-cccccccc", "pci": "0:17:0"}):
        counter = energy_counter(identity)
        assert isinstance(counter, NoCounter)
        assert counter.state is State.MIG
        assert gpu_memory(identity)() is None


def test_the_memory_in_use_is_that_of_torchs_device(play):
    play(device(), "held 0 7")
    assert gpu_memory({"uuid": FIRST, "pci": None})() == 5 << 30
    assert [gpu_memory(identity)() for identity in (None, {"uuid": SECOND, "pci": None})] == [None, None]
    play(device(), "error nvmlDeviceGetMemoryInfo 999")
    assert gpu_memory({"uuid": FIRST, "pci": None})() is None


@pytest.mark.parametrize(
    "identity",
    [
        {"uuid": SECOND, "pci": None},
        {"uuid": SECOND.removeprefix("GPU-").upper(), "pci": None},
        {"uuid": "MIG-cccccccc-0000-4000-8000-cccccccccccc", "pci": "0:ca:0"},
        {"uuid": None, "pci": "0000:CA:00"},
        {"uuid": None, "pci": "00000000:ca:0.0"},
    ],
)
def test_torchs_device_is_found_by_uuid_or_bus(play, identity):
    # CUDA numbers the second one 0 where CUDA_VISIBLE_DEVICES hides the first.
    script = play(*TWO, "power 0 0:100", "power 1 0:300", "update 0.001")
    devices = Nvml().facts(Target(cuda_devices=[identity]))["devices"]
    assert {label: gpu["used"] for label, gpu in devices.items()} == {"gpu0": False, "gpu1": True}
    counter = energy_counter(identity)
    time.sleep(0.05)
    assert counter.read_j() - 123456.789 == pytest.approx(300 * (time.monotonic() - script.epoch_s), rel=0.5)


def test_a_device_that_nvml_does_not_show_has_no_counter(play):
    play(device())
    counter = energy_counter({"uuid": SECOND, "pci": None})
    assert isinstance(counter, NoCounter)
    assert counter.state is State.NO_DEVICE


def test_a_run_on_the_cpu_uses_no_gpu(play):
    play(device(), device(SECOND, "0:ca:0"))
    devices = Nvml().facts(Target(pid=1))["devices"]
    assert [gpu["used"] for gpu in devices.values()] == [False, False]


@pytest.mark.parametrize(
    ("lines", "target", "others"),
    [
        ([], IN_USE, 0),
        (["process 0 100 1", "process 0 7 1"], IN_USE, 1),
        (["process 0 7 1", "mps 0 100 1"], IN_USE, 1),  # the server of MPS computes, and ours is its client
        (["process 0 7 1", "process 0 100 1", "mps 0 100 1", "mps 0 8 1"], IN_USE, 2),
        (["process 0 8 1", "process 0 7 1"], IN_USE, 1),  # ours has another number outside the container
        (["process 0 8 1", "process 0 7 1"], Target(pid=100), 2),
    ],
)
def test_other_processes_on_the_gpu_are_counted(play, lines, target, others):
    play(device(), *lines)
    nvml = Nvml()
    assert seen(nvml, target)["gpu0", "other_processes"] == others
    assert nvml.facts(target)["devices"]["gpu0"]["other_processes"] == others


def test_processes_that_ended_are_counted_until_the_next_case(play):
    play(device(), "process 0 7 1", "process 0 8 1")
    nvml = Nvml()
    seen(nvml)
    play(device())
    find_gpus()  # which reads the script anew
    assert seen(nvml)["gpu0", "other_processes"] == 0
    assert nvml.facts(IN_USE)["devices"]["gpu0"]["other_processes"] == 1
    nvml.begin()
    assert "other_processes" not in nvml.facts(IN_USE)["devices"]["gpu0"]


def test_the_library_that_was_loaded_is_named_by_its_digest(play):
    play(device())
    content = (driver.library_folder() / driver.SONAME).read_bytes()
    assert Nvml().facts(IN_USE)["nvml"] == {
        "library": driver.SONAME,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "driver": "0.0-fake",
    }


def test_gpus_of_other_makers_explain_that_there_is_no_driver(play, monkeypatch, tmp_path):
    play(device())
    monkeypatch.delenv("FAKE_NVML")
    (tmp_path / "amdgpu" / "0000:03:00.0").mkdir(parents=True)
    assert find_gpus("linux", tmp_path).state is State.AMD
    assert find_gpus("darwin", tmp_path / "none").state is State.APPLE
    assert find_gpus("linux", tmp_path / "none") == FoundGpus(state=State.NO_DRIVER, why="no NVIDIA driver")
