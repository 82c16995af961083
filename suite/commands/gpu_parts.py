"""The parts of `make gpu`, as conf/gpu.yaml has them.

Each runs in a process of its own and is stopped in time; what it has measured by then is recorded, and the next call
goes on from there. After each of them everything so far is packed into one file.
"""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from suite.configuration.devices import why_no_cuda
from suite.configuration.files import choices, read_yaml
from suite.lm.checkpoint.locate import PACKAGES, missing
from suite.machine.plain_text import one_line, say
from suite.machine.privacy import scrub
from suite.records.derived import run_warnings
from suite.records.record import Status
from suite.records.stores.archive import MOST_PACKED_BYTES, pack
from suite.records.stores.files import write_whole
from suite.records.stores.store import read_contents

DONE, BAD, CANNOT_JUDGE, INTERRUPTED = 0, 1, 3, 130
ARCHIVE, DOCTOR, PARTS = "gpu.tar.gz", "doctor.json", "parts.json"
# A part does not begin with less time left: its worker would hardly start.
LEAST_S = 10.0
# Kept from the budget for what stops and packs.
ENDING_S = 5.0
NUMBER = re.compile(r"\b\d+(?:\.\d+)?")
# After which a part that was told to stop is killed.
GRACE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    name: str
    how: str
    """`done`, `cut off` or `refused`."""
    text: str
    is_bad: bool = False
    warnings: Mapping[str, int] = field(default_factory=dict)
    """The number of its runs that carry each warning, whose own numbers are left out."""
    wall_s: float = 0.0


class Budget:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._begun = time.monotonic()

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._begun

    @property
    def left_s(self) -> float:
        """Seconds that are left for parts; those for stopping and packing are kept back."""
        return self.seconds - ENDING_S - self.spent_s


def run_parts(out: Path, budget: Budget, device: str, checkpoint: str) -> int:
    """Run every part that the budget allows, print how each ended, pack all of it and return the exit code.
    `checkpoint`: the model that one of the parts trains."""
    plan, ends, left_out = read_yaml("gpu.yaml"), list[Ended](), 0
    try:
        facts = _examine(out, budget)
        if device == "cuda" and (why_not := _why_no_gpu(facts, budget)) is not None:
            nvml_says = facts.get("no_gpu_because")
            say(one_line(f"no GPU that torch can use: {why_not}{f' (NVML: {nvml_says})' if nvml_says else ''}"))
            return CANNOT_JUDGE
        for number, part in enumerate(plan["parts"], 1):
            place = f"[{number}/{len(plan['parts'])}] {part['name']}"
            print(f"{place} begins with {max(0.0, budget.left_s):.0f} s left", flush=True)
            begun_s = budget.spent_s
            end = replace(_part(part, plan, out, budget, device, checkpoint), wall_s=budget.spent_s - begun_s)
            ends.append(end)
            say(one_line(f"{place}: {end.how}, {end.text}"))
            # How each part of this call ended, and what its runs warn of.
            parts = [{**asdict(ended), "text": scrub(ended.text)} for ended in ends]
            call = {"schema": 1, "budget_s": budget.seconds, "wall_s": budget.spent_s, "parts": parts}
            write_whole(out / PARTS, (json.dumps(call, indent=1) + "\n").encode())
            left_out = _pack_all(out)
    except KeyboardInterrupt:
        print("interrupted: what was recorded is kept")
        return INTERRUPTED
    finally:  # also after an error: what was measured on a rented machine is carried home
        left_out = _pack_all(out)
    names_by_end = {how: [end.name for end in ends if end.how == how] for how in ("done", "cut off", "refused")}
    outcome = "; ".join(f"{how}: {', '.join(names)}" for how, names in names_by_end.items() if names)
    too_many = f"; {left_out} runs had no room in it" if left_out else ""
    print(f"{outcome}; {out / ARCHIVE}{too_many}")
    return BAD if any(end.is_bad for end in ends) else DONE


def _pack_all(out: Path) -> int:
    facts = [path for path in sorted(out.iterdir()) if path.suffix == ".json"]
    return pack(out, facts, out / ARCHIVE, most_bytes=MOST_PACKED_BYTES)


def _examine(out: Path, budget: Budget) -> dict[str, Any]:
    """Run `suite doctor`, print its main facts, write its answer into a file and return it; {} without an answer."""
    command = [sys.executable, "-m", "suite", "doctor", "--json"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, budget.left_s)).stdout
        facts: dict[str, Any] = json.loads(answer)
    except (subprocess.TimeoutExpired, ValueError):
        print("doctor: it gave no answer")
        return {}
    write_whole(out / DOCTOR, answer.encode())
    gpus = ", ".join(facts["gpus"]) or facts["no_gpu_because"]
    print(f"doctor: {gpus}, torch {(facts['torch'] or {}).get('version')}")
    return facts


def _why_no_gpu(facts: Mapping[str, Any], budget: Budget) -> str | None:
    """Why torch can use no GPU, by the doctor's facts, or by asking torch where the doctor has none of it; None where
    it can."""
    if facts.get("torch"):
        why: str | None = facts["torch"]["why_no_cuda"]
        return why
    return why_no_cuda(max(1.0, budget.left_s))


def _part(
    part: Mapping[str, Any], plan: Mapping[str, Any], out: Path, budget: Budget, device: str, checkpoint: str
) -> Ended:
    """Run one part of the plan in a process, within its share of the time left, and say how it ended."""
    name, trains, module = part["name"], part.get("trains_checkpoint", False), part.get("module")
    if trains and (sentence := missing(checkpoint)) is not None:
        return Ended(name=name, how="refused", text=sentence)
    if budget.left_s < LEAST_S:
        return Ended(name=name, how="cut off", text="no time was left for it")
    folder = out / name.replace(" ", "_")
    log = out / f"{folder.name}.log"
    if module is not None:
        command = [sys.executable, "-m", module, "--out", str(out / f"{name}.json")]
    else:
        backends = [f"backend={','.join(_backends(part, plan))}"] if part.get("takes_backends", True) else []
        command = _sweep_command(part, policy_arguments(checkpoint) if trains else backends, folder, device)
    code = _run_logged(command, log, budget.left_s * part["most"])
    if module is None:
        text, warnings = _count_runs(folder)
    else:
        text, warnings = (log.read_text(encoding="utf-8", errors="replace").splitlines() or ["it said nothing"])[-1], {}
    how = "cut off" if code is None else "refused" if code == CANNOT_JUDGE and module is not None else "done"
    return Ended(name=name, how=how, text=text, is_bad=code not in (None, DONE, CANNOT_JUDGE), warnings=warnings)


def _sweep_command(part: Mapping[str, Any], arguments: Sequence[str], folder: Path, device: str) -> list[str]:
    tiny = part["on_cpu"] if device == "cpu" else ()
    where = [f"sweep={part['sweep']}", f"hydra.sweep.dir={_quoted(str(folder))}", f"device={device}"]
    return [sys.executable, "-m", "suite", "run", "-m", *where, *arguments, *tiny]


def _backends(part: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """The names of the backends of this version that a part measures, the most valuable first."""
    there, compilers = choices("backend"), plan["compilers"]
    named = [name for name in (compilers if part.get("compilers") else plan["backends"]) if name in there]
    rest = [name for name in there if name not in named and name not in compilers]
    return named + rest if part.get("every_backend") else named


def policy_arguments(checkpoint: str) -> list[str]:
    """The arguments of `suite run` by which RL begins with the weights of this checkpoint."""
    if checkpoint in PACKAGES:
        return [f"policy={PACKAGES[checkpoint].policy}"]
    return ["policy=checkpoint", f"policy.checkpoint={_quoted(checkpoint)}"]


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "\\'") + "'"


def _run_logged(command: Sequence[str], log: Path, seconds: float) -> int | None:
    """Run a process whose output goes into a file; return its exit code, or None if it was stopped for its time."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                process.terminate()  # it records what it has and ends
                try:
                    process.wait(timeout=GRACE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _count_runs(folder: Path) -> tuple[str, dict[str, int]]:
    """How the runs in a folder ended, as `3 ok, 1 failed`, and how many runs carry each warning."""
    contents = read_contents([folder], with_readings=False)
    counts = Counter[str](stored.record.status for stored in contents.stored)
    counts["damaged"] = len(contents.damaged)
    text = ", ".join(f"{counts[name]} {name}" for name in (*Status, "damaged") if counts[name]) or "no run"
    warnings = (warning for stored in contents.stored for warning in run_warnings(stored.record))
    return text, dict(Counter(NUMBER.sub("#", warning) for warning in warnings))
