"""From the driver to the page: whole runs over the stand-in for NVML, in processes of their own."""

import os
import subprocess
import sys

import pytest

from suite.records.record import Status
from suite.records.store import read_contents
from suite.records.telemetry import Mark, gpus_of, read_series, source_states, telemetry_of
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, SECOND, device

SMALL = ("geometry=tiny", "seq_len=64", "measure=smoke", "report=false", "telemetry.period_s=0.02")


def suite(tmp_path, *arguments, script=None):
    variables = {"OMP_NUM_THREADS": "1"}
    if script is not None:
        driver.Script(tmp_path / "script", *script)
        variables |= {"FAKE_NVML": str(tmp_path / "script"), "LD_LIBRARY_PATH": str(driver.library_folder())}
    command = [sys.executable, "-m", "suite", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | variables)


def run(tmp_path, *arguments, script=None):
    folder = tmp_path / "results"
    said = suite(
        tmp_path, "run", *arguments, *SMALL, f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}", script=script
    )
    return said.stdout, read_contents([folder]).stored


@driver.needs_gcc
def test_a_run_beside_a_throttled_gpu_and_one_that_is_lost_shows_both_from_the_record_to_the_page(tmp_path):
    gpus = [device(FIRST, "0:17:0"), device(SECOND, "0:ca:0"), "power 0 0:90 2:350", "power 1 0:70"]
    script = [*gpus, "reasons 0 0:0x4", "lost 1 1.5"]
    said, (stored,) = run(tmp_path, script=script)
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
    suite(tmp_path, "report", str(tmp_path / "results"), "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "Test GPU" in page
    assert str(tmp_path) not in (stored.folder / "record.json").read_text()


def test_a_sweep_without_a_driver_says_so_once(tmp_path):
    said, stored = run(tmp_path, "-m", "attention=mha,gqa,mla")
    if stored[0].record.environment["gpus"]:
        pytest.skip("this machine has a driver")
    assert said.count("telemetry") == said.count("no GPU: not measured (no NVIDIA driver)") == 1
    assert {source_states(one.record)["nvml"] for one in stored} == {("no_driver", "no NVIDIA driver")}
    assert all(one.record.provenance["energy"]["state"] in ("no_counter", "measured") for one in stored)


def test_telemetry_off_takes_no_series_and_stays_out_of_the_id(tmp_path):
    said, (stored,) = run(tmp_path, "telemetry=off", "price_per_device_hour=3.6")
    assert "telemetry" not in stored.record.provenance
    assert set(stored.record.files) == {"samples.parquet"}
    assert "telemetry" not in stored.record.case.id
    assert "price" not in stored.record.case.id
    assert stored.record.provenance["energy"] == {"state": "off"}
    assert "a million tokens through the layer, at price_per_device_hour" in said
