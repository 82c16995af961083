"""`suite doctor`: what runs on this machine, and why the rest does not.

Reads what the system says and imports neither torch nor Hydra, so that it works where they are missing or broken; torch
is asked in a process of its own. Nothing here names a path, a user or a host: people paste this into bug reports.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import textwrap
from typing import Any

import psutil

import suite
from suite.configuration.devices import MEASURED
from suite.configuration.files import PACKAGE, choices, conf_dir
from suite.machine.environment import (
    RECORDED_PACKAGES,
    cpu_model,
    gpu_names,
    gpus,
    installed_version,
)
from suite.machine.installation import install_command
from suite.machine.limits import available_bytes, cpu_limit, memory_limit_bytes, usable_cpus
from suite.machine.plain_text import json_text, one_line, say
from suite.machine.privacy import scrub

RUNS, CANNOT_RUN = 0, 3
# A dtype that reaches less than this share of float32's rate has no hardware behind it on this CPU.
SLOW_BELOW = 0.1
PROBE_TIMEOUT_S = 120
LABEL_WIDTH, NAME_WIDTH, LINE_WIDTH = 10, 14, 110
# Distribution and module of what only runs need.
NEEDED_FOR_RUNS = {"torch": "torch", "hydra-core": "hydra"}


def doctor(*, as_json: bool) -> int:
    """Print what this machine has for runs, or has not.

    Returns 0 where runs are possible, 3 where torch or Hydra is missing or broken.
    """
    system = examine_system()
    if not as_json:  # at once: to ask torch takes seconds
        say(*_system_lines(system))
    facts = examine(system)
    say(*([json_text(facts, sort_keys=True)] if as_json else _run_lines(facts)))
    return RUNS if facts["runs_possible"] else CANNOT_RUN


def examine(system: dict[str, Any]) -> dict[str, Any]:
    """The facts of `system` and of torch, backends and workloads, as plain data; asks torch. Rates in FLOP/s."""
    absent = [name for name, module in NEEDED_FOR_RUNS.items() if importlib.util.find_spec(module) is None]
    torch, torch_problem = (None, "torch is not installed") if "torch" in absent else _ask_torch()
    problems = [f"{name} is not installed" for name in absent if name != "torch"]
    if torch_problem is not None:
        problems.insert(0, torch_problem)
    why_not = "; ".join(problems) or None
    return {
        **system,
        "torch": torch and {name: fact for name, fact in torch.items() if name not in ("backends", "workloads")},
        "backends": _runnable("backend", torch and torch["backends"], why_not),
        "workloads": _runnable("workload", torch and torch["workloads"], why_not),
        "runs_possible": why_not is None,
        "why_no_runs": why_not,
    }


def examine_system() -> dict[str, Any]:
    """The facts that need no torch, as plain data: versions, CPU, memory and GPUs. Sizes in bytes."""
    return {
        "schema": 1,
        "suite": suite.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "configuration": "inside the package" if conf_dir().parent == PACKAGE else "beside the package",
        "packages": {name: installed_version(name) for name in RECORDED_PACKAGES},
        "cpu": {
            "model": cpu_model(),
            "logical": psutil.cpu_count(),
            "usable": usable_cpus(),
            "cgroup_limit": cpu_limit(),
            "load_averages": [round(load, 2) for load in psutil.getloadavg()],
        },
        "memory": {
            "total_bytes": psutil.virtual_memory().total,
            "available_bytes": available_bytes(),
            "cgroup_limit_bytes": memory_limit_bytes(),
        },
        "gpus": gpu_names(),
        "gpus_unread": gpus().unread,
        "no_gpu_because": gpus().why or None,
    }


def _system_lines(facts: dict[str, Any]) -> list[str]:
    """The lines that are printed at once: versions, CPU, load, memory and GPUs."""
    cpu, memory = facts["cpu"], facts["memory"]
    averages = ", ".join(f"{load:.2f}" for load in cpu["load_averages"])
    is_busy = cpu["load_averages"][0] > cpu["usable"] / 2
    limits = [
        "no cgroup limit" if limit is None else f"cgroup limit {write(limit)}"
        for limit, write in ((cpu["cgroup_limit"], "{:g}".format), (memory["cgroup_limit_bytes"], _gigabytes))
    ]
    unread = [f"{label} cannot be read ({reason})" for label, reason in facts["gpus_unread"].items()]
    return _rows(
        ("suite", f"{facts['suite']}, conf {facts['configuration']}, Python {facts['python']}, {facts['system']}"),
        ("packages", _packages(facts["packages"])),
        ("CPU", f"{cpu['model']}: {cpu['usable']} of {cpu['logical']} logical CPUs usable, {limits[0]}"),
        ("load", f"{averages} over 1, 5 and 15 minutes{': busy, so expect noise' if is_busy else ''}"),
        ("memory", f"{_gigabytes(memory['total_bytes'])}, {_gigabytes(memory['available_bytes'])} free, {limits[1]}"),
        ("GPU", ", ".join([*facts["gpus"], *unread]) if facts["gpus"] else str(facts["no_gpu_because"])),
        ("devices", MEASURED),
    )


def _packages(versions: dict[str, str | None]) -> str:
    present = [f"{name} {version}" for name, version in versions.items() if version]
    absent = [name for name, version in versions.items() if not version]
    return "; absent: ".join(filter(None, [", ".join(present), ", ".join(absent)]))


def _run_lines(facts: dict[str, Any]) -> list[str]:
    """The lines of torch and its rates, of each backend and workload, and the verdict."""
    torch, rows = facts["torch"], list[tuple[str, str]]()
    if torch is not None:
        cuda = "CUDA available" if torch["why_no_cuda"] is None else f"no CUDA ({torch['why_no_cuda']})"
        rows.append(("torch", f"{torch['version']}, CPU capability {torch['cpu_capability']}, {cuda}"))
        rates = torch["matmul_flops_per_s"]
        for dtype, rate in rates.items():
            is_slow = rate < SLOW_BELOW * rates["float32"]
            remark = "; less than a tenth of float32's rate" if is_slow else ""
            rows.append((f"  {dtype}", f"{rate / 1e9:>7.1f} GFLOP/s, matrix product, one thread{remark}"))
    for group in ("backends", "workloads"):
        for place, (name, choice) in enumerate(facts[group].items()):
            state = "runs" if choice["runs"] else f"does not run: {choice['why_not']}"
            rows.append(("" if place else group, f"{name:<{NAME_WIDTH}} {state}"))
    verdict = "this machine can run cases; try the smallest: suite run geometry=tiny seq_len=64 measure=smoke"
    if not facts["runs_possible"]:
        command = install_command("run")
        verdict = f"this machine cannot run cases: {facts['why_no_runs']} ({command}). suite explain still works."
    return _rows(*rows, ("verdict", verdict))


def _rows(*rows: tuple[str, str]) -> list[str]:
    """A text for each label and sentence; a long one has line breaks in it, indented to its column."""
    indent = " " * (LABEL_WIDTH + 1)
    wrap = textwrap.TextWrapper(LINE_WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [wrap.fill(f"{name:<{LABEL_WIDTH}} {one_line(text)}") for name, text in rows]


def _gigabytes(nbytes: float) -> str:
    return f"{nbytes / 1e9:.1f} GB"


def _runnable(group: str, failures: dict[str, str | None] | None, why_not: str | None) -> dict[str, dict[str, Any]]:
    reasons = {name: why_not or (failures or {}).get(name) for name in choices(group)}
    return {name: {"runs": reason is None, "why_not": reason and scrub(reason)} for name, reason in reasons.items()}


def _ask_torch() -> tuple[dict[str, Any] | None, str | None]:
    """Ask torch in a process of its own; return its facts and None, or None and the reason why it gave none."""
    # -P: a torch.py in the working folder is none of the torch that runs would import.
    command = [sys.executable, "-P", "-m", "suite.commands.torch_probe"]
    # The child must find this very package, however this process found it.
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired:
        return None, f"torch did not answer within {PROBE_TIMEOUT_S} s"
    if ended.returncode != 0:
        last_line = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        if not ended.stdout:
            return None, f"torch is installed but cannot be used ({scrub(last_line)})"
        reason = f"unknown: a package that a backend needs ended the process that asked ({scrub(last_line)})"
        packages = {f"{group}s": dict.fromkeys(choices(group), reason) for group in ("backend", "workload")}
        return {**json.loads(ended.stdout.splitlines()[0]), **packages}, None
    facts: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return facts, None
