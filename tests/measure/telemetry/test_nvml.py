"""The unmodified nvidia-ml-py over a library of our own: values, units, states, and which GPU is torch's."""

import hashlib
import time

import pynvml
import pytest

from suite.measure.telemetry.counters import NoCounter, energy_counter
from suite.measure.telemetry.devices import handle_of
from suite.measure.telemetry.nvml import Nvml
from suite.measure.telemetry.source import Target
from suite.records.nvml import State, opened
from suite.records.telemetry import QUANTITIES
from tests.fake_nvml import driver
from tests.fake_nvml.driver import AMPERE, FIRST, SECOND, TURING, device

pytestmark = driver.needs_gcc
IN_USE = Target(pid=100, cuda_devices=[{"uuid": FIRST, "pci": None}])


def seen(nvml, target=IN_USE, *, is_slow_tick=True):
    return {(device, quantity): value for device, quantity, value in nvml.sample(target, is_slow_tick=is_slow_tick)}


def test_every_quantity_of_a_gpu_comes_in_the_unit_that_its_name_says(play):
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
    assert {quantity for _, quantity in found} < set(QUANTITIES)


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
    assert nvml.facts(IN_USE)["devices"]["gpu0"]["power_usage_is"] == what_usage_is
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
        ([device(), "error nvmlDeviceGetHandleByIndex_v2 4"], State.NO_PERMISSION, "see no GPU"),
        ([device(), "error nvmlDeviceGetName 999"], State.FAILED, "does not answer"),
    ],
)
def test_why_there_is_no_gpu_has_a_name(play, lines, state, why):
    play(device())  # so that the stand-in is known to be loaded
    play(*lines)
    nvml = Nvml()
    assert (nvml.state, seen(nvml), nvml.facts(IN_USE)) == (state, {}, {})
    assert why in nvml.why


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
def test_a_counter_that_cannot_be_read_is_missing_by_name_and_the_others_stay(play, failing, quantity, code, state):
    play(device(), "power 0 0:100", f"error {failing} {code}")
    nvml = Nvml()
    found = seen(nvml)
    assert ("gpu0", quantity) not in found
    assert ("gpu0", "temperature_c") in found
    assert nvml.facts(IN_USE)["devices"]["gpu0"]["missing"] == {quantity: state}


def test_a_gpu_that_is_lost_midway_ends_there_and_the_other_goes_on(play):
    play(device(), device(SECOND, "0:65:0"), "lost 0 0.2")
    nvml = Nvml()
    assert {label for label, _ in seen(nvml)} == {"gpu0", "gpu1"}
    time.sleep(0.25)
    assert {label for label, _ in seen(nvml)} == {"gpu1"}
    states = {label: gpu["state"] for label, gpu in nvml.facts(IN_USE)["devices"].items()}
    assert states == {"gpu0": State.LOST, "gpu1": State.MEASURED}


def test_a_split_gpu_says_so_and_gives_no_energy_to_a_case(play):
    play(device(), "mig 0", "power 0 0:100")
    nvml = Nvml()
    assert nvml.facts(IN_USE)["devices"]["gpu0"]["state"] == State.MIG
    for identity in ({"uuid": FIRST, "pci": None}, {"uuid": "MIG-cccccccc", "pci": "0:17:0"}):
        counter = energy_counter(identity)
        assert isinstance(counter, NoCounter)
        assert counter.state is State.MIG


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
def test_torchs_device_is_found_by_uuid_or_bus_though_the_numbers_differ(play, identity):
    # CUDA numbers the second one 0 where CUDA_VISIBLE_DEVICES hides the first.
    play(device(FIRST, "0:17:0"), device(SECOND, "0:ca:0"), "power 0 0:100", "power 1 0:300")
    devices = Nvml().facts(Target(cuda_devices=[identity]))["devices"]
    assert {label: gpu["used"] for label, gpu in devices.items()} == {"gpu0": False, "gpu1": True}
    assert pynvml.nvmlDeviceGetUUID(handle_of(identity)) == SECOND


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
        (["process 0 8 1", "process 0 7 1"], IN_USE, 1),  # ours has another number outside the container
        (["process 0 8 1", "process 0 7 1"], Target(pid=100), 2),
    ],
)
def test_other_processes_on_the_gpu_are_counted(play, lines, target, others):
    play(device(), *lines)
    nvml = Nvml()
    assert seen(nvml, target)["gpu0", "other_processes"] == others
    assert nvml.facts(target)["devices"]["gpu0"]["other_processes"] == others


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
    assert opened("linux", tmp_path)[0] is State.AMD
    assert opened("darwin", tmp_path / "none")[0] is State.APPLE
    assert opened("linux", tmp_path / "none") == (State.NO_DRIVER, "no NVIDIA driver")
