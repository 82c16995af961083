"""The setting `device`, and what torch says where it can use no GPU."""

import re
import subprocess

import pytest
import torch

from suite.configuration.devices import device_index, device_kind, why_no_cuda
from suite.machine import environment
from suite.measure.devices import device_for
from suite.measure.workload import UnsupportedError
from suite.run.compose.composer import compose
from suite.run.compose.resolvers import auto_device
from suite.run.job import job_of
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, device
from tests.measure.devices.simulated_cuda import simulated_cuda

OLD_DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, void *status) {
  *function = 0;
  if (!strcmp(name, "cuDriverGetVersion")) *function = (void *)cuDriverGetVersion;
  if (!strcmp(name, "cuInit")) *function = (void *)cuInit;
  return *function ? 0 : 500;
}
int cuGetProcAddress(const char *name, void **function, int version, unsigned long long flags) {
  return cuGetProcAddress_v2(name, function, version, flags, 0);
}
"""
"""CUDA's driver of 12.4, of which nothing works but the question for its version."""


@pytest.fixture(autouse=True)
def _unasked():
    """Remember no answer of this machine's here, and none of these tests' afterwards."""
    for cached in (auto_device, environment.gpus):
        cached.cache_clear()
    yield
    for cached in (auto_device, environment.gpus):
        cached.cache_clear()


def settings(*arguments):
    (point,) = compose(list(arguments))
    return {name: point.settings[name] for name in ("device", "dtype")}


@pytest.mark.parametrize(
    ("name", "kind", "index"), [("cpu", "cpu", None), ("cuda", "cuda", None), ("cuda:1", "cuda", 1)]
)
def test_a_device_is_named_as_torch_names_it(name, kind, index):
    assert (device_kind({"device": name}), device_index(name)) == (kind, index)


@pytest.mark.parametrize("name", ["mps", "xpu:0", "gpu", "cuda:", "cuda:x", "cuda:-1", None, 1, ["cpu"]])
def test_any_other_device_is_refused_with_the_choices(name):
    with pytest.raises(ValueError, match=r"^device must be one of auto, cpu, cuda and cuda:1 and so on; got ") as error:
        device_kind({"device": name})
    assert ("Apple's GPUs are not measured yet" in str(error.value)) == (name == "mps")
    assert ("Intel's GPUs are not measured yet" in str(error.value)) == (name == "xpu:0")


@driver.needs_gcc
def test_auto_is_the_cpu_where_nvml_shows_no_gpu(play):
    play()
    assert settings("device=auto") == {"device": "cpu", "dtype": "float32"}
    assert auto_device() == ("cpu", "an NVIDIA driver, but no GPU")


@driver.needs_gcc
@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use a GPU here")
def test_auto_is_the_cpu_where_torch_cannot_use_the_gpu(play):
    play(device(FIRST, "0:17:0"))
    assert settings("device=auto") == {"device": "cpu", "dtype": "float32"}
    assert re.match(r"torch \S+ is built without CUDA$" if torch.version.cuda is None else r"\w+ ", auto_device()[1])


@driver.needs_gcc
def test_auto_is_the_gpu_where_torch_can_use_it(play, monkeypatch):
    play(device(FIRST, "0:17:0"))
    monkeypatch.setattr("suite.run.compose.resolvers.why_no_cuda", lambda: None)
    assert settings("device=auto") == {"device": "cuda", "dtype": "bfloat16"}
    assert auto_device() == ("cuda", "Test GPU")
    assert settings("device=cuda:1") == {"device": "cuda:1", "dtype": "bfloat16"}


def test_the_second_gpu_has_the_settings_of_the_first():
    (point,) = compose(["device=cuda:1", "matmul_precision=high"])
    assert (point.settings["matmul_precision"], job_of(point).plan.device) == ("high", "cuda")


def test_the_second_gpu_becomes_torchs_current_one(monkeypatch):
    chosen = []
    with simulated_cuda(monkeypatch):
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        for name in ("cuda:1", "cuda"):
            device_for(name, 1).require()
        with pytest.raises(UnsupportedError, match=r"^device=cuda:2: torch finds 2 GPUs, counted from cuda:0$"):
            device_for("cuda:2", 1).require()
    assert chosen == [1, 0]


@driver.needs_gcc
@pytest.mark.skipif(torch.version.cuda is None, reason="torch is built without CUDA")
def test_an_old_driver_is_named_in_torchs_words(tmp_path, monkeypatch):
    (tmp_path / "old.c").write_text(OLD_DRIVER)
    library = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "libcuda.so.1"), str(tmp_path / "old.c")]
    subprocess.run(library, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert why_no_cuda().startswith("The NVIDIA driver on your system is too old (found version 12040)")
