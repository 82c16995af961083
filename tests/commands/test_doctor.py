import json
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from suite.commands import doctor as doctor_module
from suite.commands.doctor import doctor, examine_system
from suite.configuration.files import choices
from suite.machine import environment as environment_module
from suite.machine.nvml import find_gpus
from tests.fake_nvml.driver import FIRST, SECOND, device, needs_gcc

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, scope="module")
def no_results(tmp_path_factory):
    """Where no results lie: below the checkout's root the doctor reads those of every reference record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("no_results"))
        yield


@pytest.fixture(scope="module")
def examined(no_results):
    """The doctor's exit code, what it prints and what torch told it, all for real: once, since that takes seconds."""
    pytest.importorskip("torch")
    ask, asked = doctor_module._ask_torch, []
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(doctor_module, "_ask_torch", lambda: asked.append(ask()) or asked[-1])
        code = doctor(as_json=True)
    ((found, problem),) = asked
    assert problem is None
    return code, printed.getvalue(), found


@pytest.fixture
def probed(monkeypatch, examined):
    """A copy of what torch said, which a test may change before the doctor sees it."""
    found = json.loads(json.dumps(examined[-1]))
    monkeypatch.setattr(doctor_module, "_ask_torch", lambda: (found, None))
    return found


def examine():
    return doctor_module.examine(examine_system())


def as_text(facts):
    return "\n".join([*doctor_module._system_lines(facts), *doctor_module._run_lines(facts)])


def without(monkeypatch, *modules):
    find = doctor_module.importlib.util.find_spec
    monkeypatch.setattr(doctor_module.importlib.util, "find_spec", lambda name: None if name in modules else find(name))


def test_this_machine_is_examined_for_real(examined):
    pytest.importorskip("hydra")
    code, printed, _ = examined
    assert code == 0
    facts = json.loads(printed)
    # The build, such as +cu132, is in what torch says of itself, and not in the metadata of every wheel.
    assert facts["torch"]["version"].partition("+")[0] == facts["packages"]["torch"].partition("+")[0]
    assert all(rate > 0 for rate in facts["torch"]["matmul_flops_per_s"].values())
    assert set(facts["backends"]) == set(choices("backend"))
    assert facts["backends"]["eager"].items() >= {"runs": True, "why_not": None}.items()
    assert facts["workloads"]["attention"] == {"runs": True, "why_not": None}
    assert bool(facts["gpus"]) == (facts["no_gpu_because"] is None)


@needs_gcc
def test_a_gpu_that_cannot_be_read_is_named_beside_the_other(play, probed, monkeypatch):
    play(device(FIRST), device(SECOND), "lost 1 0")
    monkeypatch.setattr(doctor_module, "gpus", find_gpus)
    monkeypatch.setattr(environment_module, "gpus", find_gpus)
    facts = examine()
    assert (facts["gpus"], facts["gpus_unread"], facts["no_gpu_because"]) == (["Test GPU"], {"gpu1": "lost"}, None)
    assert "GPU        Test GPU, gpu1 cannot be read (lost)" in as_text(facts)
    play(device(FIRST), "lost 0 0")
    assert "GPU        no GPU can be read (gpu0: lost)" in as_text(examine())


def test_without_torch_nothing_runs_and_reading_still_works(monkeypatch, capsys):
    without(monkeypatch, "torch", "hydra")
    assert doctor(as_json=False) == 3
    text = " ".join(capsys.readouterr().out.split())
    assert "this machine cannot run cases: torch is not installed; hydra-core is not installed" in text


def test_without_hydra_torch_is_still_asked(monkeypatch, probed):
    without(monkeypatch, "hydra")
    facts = examine()
    assert facts["why_no_runs"] == "hydra-core is not installed"
    assert facts["torch"]["version"] == probed["version"]
    assert all(not backend["runs"] for backend in facts["backends"].values())


def test_a_broken_torch_is_a_reason_and_no_traceback(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch_cpu.so is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    facts = examine()
    assert not facts["runs_possible"]
    assert "libtorch_cpu.so is broken" in facts["why_no_runs"]


def test_a_package_that_ends_the_probe_leaves_torch_known(monkeypatch, probed):
    printed = json.dumps({name: fact for name, fact in probed.items() if name not in ("backends", "workloads")})
    ended = subprocess.CompletedProcess([], -signal.SIGSEGV, stdout=f"{printed}\n", stderr="")
    monkeypatch.undo()
    monkeypatch.setattr(doctor_module.subprocess, "run", lambda command, **settings: ended)
    found, problem = doctor_module._ask_torch()
    assert problem is None
    assert found["version"] == probed["version"]
    reason = "unknown: a package that a backend needs ended the process that asked (exit code -11)"
    assert found["backends"] == dict.fromkeys(choices("backend"), reason)
    assert found["workloads"] == dict.fromkeys(choices("workload"), reason)


def test_an_absent_device_comes_before_any_other_refusal(probed):
    if probed["why_no_cuda"] is None:
        pytest.skip("a CUDA device is here")
    for name in ("flash_attn", "flash_mla", "flashinfer", "sdpa_cudnn", "sdpa_efficient", "triton"):
        assert probed["backends"][name] == f"{name} needs a CUDA device, but torch finds none"


def test_neither_form_names_a_path(probed):
    facts = examine()
    for said in (as_text(facts), json.dumps(facts)):
        for private in (str(ROOT), str(Path.home()), sys.prefix):
            assert private not in said
