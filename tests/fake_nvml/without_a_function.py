"""Runs the telemetry over the stand-in as it would be without one of its functions, for each function in turn.

    python -m tests.fake_nvml.without_a_function     prints a line of JSON for each of them

A library of the driver is loaded once a process, so each is loaded in a child of its own. The function is taken away by
changing its name within the library, which keeps the hash under which the loader looks for it.
"""

import ctypes
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from suite.machine.environment import gpu_names
from suite.measure.telemetry.nvml import Nvml
from suite.measure.telemetry.source import Target
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, SONAME

NAME = re.compile(rb"(?<=\0)nvml\w+(?=\0)")
TARGET = Target(pid=100, cuda_devices=[{"uuid": FIRST, "pci": "0:17:0"}])


def main() -> None:
    whole = (driver.library_folder() / SONAME).read_bytes()
    for name in sorted({*NAME.findall(whole)}):
        child = os.fork()
        if child == 0:
            with tempfile.TemporaryDirectory() as folder:
                library = Path(folder) / SONAME
                library.write_bytes(re.sub(rb"(?<=\0)" + name + rb"(?=\0)", name.swapcase(), whole))
                ctypes.CDLL(str(library))
                print(json.dumps({"without": name.decode(), **_seen()}), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"without {name.decode()} it ended by an error")


def _seen() -> dict[str, object]:
    nvml = Nvml()
    quantities = [quantity for device, quantity, _ in nvml.sample(TARGET, is_slow_tick=True) if device == "gpu0"]
    missing = nvml.facts(TARGET).get("devices", {}).get("gpu0", {}).get("missing", {})
    return {"state": nvml.state, "quantities": quantities, "missing": missing, "gpus": len(gpu_names())}


if __name__ == "__main__":
    main()
