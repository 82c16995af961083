"""From the driver to the page: a whole run over the stand-in for NVML, in a process of its own."""

import os
import subprocess
import sys

from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.records.stores.telemetry import Mark, read_series, recorded_gpus, telemetry_facts
from suite.report.command import report
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, SECOND, device
from tests.report.reading import whole_text

SMALL = ("geometry=tiny", "seq_len=64", "measure=smoke", "telemetry.period_s=0.02")


def suite(tmp_path, *arguments):
    played = {"FAKE_NVML": str(tmp_path / "script"), "LD_LIBRARY_PATH": str(driver.library_folder())}
    environment = {**os.environ, **played, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "suite", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@driver.needs_gcc
def test_throttled_and_lost_gpus_are_named_from_record_to_page(tmp_path):
    gpus = [device(FIRST, "0:17:0"), device(SECOND, "0:ca:0"), device("GPU-c", "0:cb:0")]
    states = ["reasons 0 0:0x4", "lost_after_calls 1 120", "error nvmlDeviceGetHandleByIndex_v2 999 2"]
    script = [*gpus, "power 0 0:90 2:350", "power 1 0:70", *states]
    # Some calls list the GPU, about four take a sample. A count of calls holds on a busy machine, where seconds do not.
    (tmp_path / "script").write_text("\n".join(script) + "\n")
    said = suite(tmp_path, "run", *SMALL, f"hydra.run.dir={tmp_path / 'results'}")
    (stored,) = read_contents([tmp_path / "results"]).stored
    assert "gpu0 Test GPU (not used by the case), gpu1 Test GPU (not used by the case, lost)" in said
    assert "gpu2 without a name (not used by the case, failed: Unknown Error)" in said
    record, series = stored.record, read_series(stored.record, stored.folder)
    assert record.status is Status.OK
    assert record.environment["gpus"] == ["Test GPU", "Test GPU"]
    assert record.environment["gpus_unread"] == {"gpu2": "failed: Unknown Error"}
    assert telemetry_facts(record)["nvml"]["driver"] == "0.0-fake"
    assert {sample.device for sample in series} == {"gpu0", "gpu1", "cpu", "worker"}
    assert {sample.phase for sample in series} >= {"ceilings"}
    assert {sample.mark for sample in series if sample.device == "gpu0"} == {Mark.THROTTLED}
    assert {label: gpu["state"] for label, gpu in recorded_gpus(record).items()} == {
        "gpu0": "measured",
        "gpu1": "lost",
        "gpu2": "failed: Unknown Error",
    }
    assert not any(gpu["used"] for gpu in recorded_gpus(record).values())
    ends = {label: max(sample.time_s for sample in series if sample.device == label) for label in ("gpu0", "gpu1")}
    assert 0 < ends["gpu1"] < ends["gpu0"]
    # What a GPU that it does not use has spent is none of the case's.
    assert not any(reading.metric.startswith("energy") for reading in record.readings)
    report([tmp_path / "results"], [], out=tmp_path / "page.html")
    page = whole_text((tmp_path / "page.html").read_text())
    trust = page[page.index('"id": "trust"') :]
    assert "gpu0" in trust
    assert "the device was lost" in trust
    assert "gpu2" in trust
    assert "Unknown Error" in trust
    assert "GPUs that cannot be read" in page
    assert str(tmp_path) not in (stored.folder / "record.json").read_text()
