"""What must agree before two stored times may be compared, and what else differs and is only shown.

A stored time is a property of one machine. Hardware, driver, torch and threads decide it; the kernel's version or that
of pandas do not, and are shown, so that a reader can judge. A reading that drifts (a clock rate, free memory) is not
looked at: pytest-benchmark #255 and folo #429 refuse to compare a machine with itself for that.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from suite.records.record import Record

MUST_MATCH = {
    "cpu": "CPU model",
    "architecture": "architecture",
    "gpus": "GPU names",
    "driver": "GPU driver",
    "packages.torch": "torch",
    "threads": "threads",
    "device": "device",
    "judging_clock": "clock that judges",
    "float32_matmul": "float32 products",
    "variables.OMP_NUM_THREADS": "OMP_NUM_THREADS",
    "variables.MKL_NUM_THREADS": "MKL_NUM_THREADS",
    "variables.OPENBLAS_NUM_THREADS": "OPENBLAS_NUM_THREADS",
    "variables.ATEN_CPU_CAPABILITY": "ATEN_CPU_CAPABILITY",
}
"""The one list of what makes stored times incomparable, with how people call it; besides it the machine's own id."""
MUST_BE_KNOWN = ("cpu", "machine_id")
"""Two records that say nothing of their machine are not of one machine."""
DRIFTS = re.compile(r"hz|_clock_|free|available|load|temperature|uptime|pressure|^memory_bytes$")
"""Names of what is another value at the next look. Total memory too: kernels of one machine differ by some KiB."""
UNKNOWN = "not recorded"


def surroundings(record: Record) -> dict[str, Any]:
    """A record's environment and what else of it decides a time: settings, the judging clock, the driver."""
    provenance = record.provenance
    found = dict(record.environment)
    found |= {name: record.settings[name] for name in ("threads", "device") if name in record.settings}
    sources = {"judging_clock": "clock", "float32_matmul": "float32_matmul", "driver": "driver"}
    return found | {name: provenance[source] for name, source in sources.items() if source in provenance}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[list[str], dict[str, list[Any]]]:
    """Why their times cannot be compared, a sentence each, and everything that differs, by name.

    Both are the surroundings of a record, or an environment alone.
    """
    old, new = _flat(before), _flat(after)
    names = [name for name in dict.fromkeys([*old, *new]) if not DRIFTS.search(name.rpartition(".")[2])]
    shown = {name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)}
    problems = [
        f"{called}: {_said(shown[name][0])} before, {_said(shown[name][1])} now"
        for name, called in MUST_MATCH.items()
        if name in shown
    ]
    if "machine_id" in shown:
        problems.append(
            f"another machine: {_said(shown['machine_id'][0])} before, {_said(shown['machine_id'][1])} now; a stored "
            "time says something of its own machine only, even where the CPU's model is the same"
        )
    problems += [f"{name} is not recorded" for name in MUST_BE_KNOWN if not old.get(name) and not new.get(name)]
    return problems, shown


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """By dotted name, one level deep: packages and variables differ one by one, and all else as a whole."""
    return dict(_items(content, prefix))


def _items(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and not prefix and name in ("packages", "variables"):
            yield from _items(value, f"{name}.")
        else:
            yield prefix + str(name), value


def _said(value: Any) -> str:
    return UNKNOWN if value is None else ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
