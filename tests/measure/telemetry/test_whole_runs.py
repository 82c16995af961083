"""From the driver to the page: a whole run over the stand-in for NVML, in a process of its own."""

import os
import subprocess
import sys

from suite.records.record import Status
from suite.records.store import read_contents
from suite.records.telemetry import Mark, gpus_of, read_series, telemetry_of
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, SECOND, device

SMALL = ("geometry=tiny", "seq_len=64", "measure=smoke", "report=false", "telemetry.period_s=0.02")


def suite(tmp_path, *arguments):
    played = {"FAKE_NVML": str(tmp_path / "script"), "LD_LIBRARY_PATH": str(driver.library_folder())}
    environment = {**os.environ, **played, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "suite", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@driver.needs_gcc
def test_a_run_beside_a_throttled_gpu_and_one_that_is_lost_shows_both_from_the_record_to_the_page(tmp_path):
    gpus = [device(FIRST, "0:17:0"), device(SECOND, "0:ca:0"), "power 0 0:90 2:350", "power 1 0:70"]
    script = [*gpus, "reasons 0 0:0x4", "lost 1 0.8"]
    # Time zero is when the run first opens NVML: long before its worker has loaded torch.
    (tmp_path / "script").write_text("\n".join(script) + "\n")
    said = suite(tmp_path, "run", *SMALL, f"hydra.run.dir={tmp_path / 'results'}")
    (stored,) = read_contents([tmp_path / "results"]).stored
    assert "gpu0 Test GPU (not used, charged nothing), gpu1 Test GPU (not used, charged nothing, lost)" in said
    record, series = stored.record, read_series(stored.record, stored.folder)
    assert record.status is Status.OK
    assert record.environment["gpus"] == ["Test GPU", "Test GPU"]
    assert telemetry_of(record)["nvml"]["driver"] == "0.0-fake"
    assert {sample.device for sample in series} == {"gpu0", "gpu1", "cpu", "worker"}
    assert {sample.phase for sample in series} >= {"ceilings"}
    assert {sample.mark for sample in series if sample.device == "gpu0"} == {Mark.THROTTLED}
    assert [(gpu["used"], gpu["state"]) for gpu in gpus_of(record).values()] == [(False, "measured"), (False, "lost")]
    ends = {label: max(sample.time_s for sample in series if sample.device == label) for label in ("gpu0", "gpu1")}
    assert 0 < ends["gpu1"] < ends["gpu0"]
    # What a GPU that it does not use has spent is none of the case's.
    assert not any(reading.metric.startswith("energy") for reading in record.readings)
    suite(tmp_path, "report", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    power = page[page.index('<section id="power"') :]
    assert "Power and energy" in power
    assert "gpu0" in power
    assert "lost" in power
    assert str(tmp_path) not in (stored.folder / "record.json").read_text()
