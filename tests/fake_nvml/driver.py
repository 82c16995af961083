"""Builds the stand-in for NVML and writes what it plays. It is loaded under the unmodified nvidia-ml-py."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pynvml
import pytest

SOURCE = Path(__file__).with_name("nvml.c")
SONAME = "libnvidia-ml.so.1"
HOPPER, AMPERE, TURING = 9, 7, 6
FIRST, SECOND = (f"GPU-{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "ab")

needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None or not Path("/proc").exists(), reason="needs gcc on Linux, to build a stand-in for NVML"
)


@functools.cache
def library_folder() -> Path:
    """A folder with the library, for LD_LIBRARY_PATH."""
    folder = Path(tempfile.mkdtemp(prefix="fake-nvml-"))
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{SONAME}"]
    subprocess.run([*command, "-o", str(folder / SONAME), str(SOURCE)], check=True)
    return folder


@functools.cache
def load_here() -> None:
    """Into this process, where the dynamic loader then finds it by its name."""
    ctypes.CDLL(str(library_folder() / SONAME))


def device(uuid: str = FIRST, pci: str = "0:17:0", *, pci_id: str = "233010de", architecture: int = HOPPER) -> str:
    return f"device {uuid} {pci} {pci_id} {architecture}"


class Script:
    """What the driver plays from now on; time zero is when it is written."""

    def __init__(self, path: Path, *lines: str) -> None:
        self.epoch_s = time.monotonic()
        text = "\n".join([f"epoch {self.epoch_s!r}", *lines]) + "\n"
        path.write_bytes(text.encode(errors="surrogateescape"))


@functools.cache
def is_loaded() -> bool:
    """Whether it is the stand-in that answers here; on a machine with a driver, that may have been loaded before."""
    load_here()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return bool(pynvml.nvmlSystemGetDriverVersion() == "0.0-fake")
