"""Conditions for a comparison: equal settings, and a fingerprint of the surroundings that must agree.

A stored time is a property of one machine. Hardware, driver, torch and threads decide it; the kernel's version or that
of pandas do not, and are shown, so that a reader can judge. A reading that drifts (a clock rate, free memory) is not
looked at: pytest-benchmark #255 and folo #429 refuse to compare a machine with itself for that.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from suite.configuration.files import workload_definition
from suite.records.case import comparable
from suite.records.record import Record

# Facts that make stored times incomparable, with their names for people; the machine's own id is one more.
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
# Two records that say nothing of their machine are not of one machine.
MUST_BE_KNOWN = ("cpu", "machine_id")
# Names of readings that soon have another value. Total memory too: kernels of one machine differ by some KiB.
DRIFTS = re.compile(r"hz|_clock_|free|available|load|temperature|uptime|pressure|^memory_bytes$")
UNKNOWN = "not recorded"


def is_judged_by_seed(workload: str) -> bool:
    """Whether runs of a workload are compared seed by seed from stored records, and never timed side by side. Its YAML
    then has `judged_by`: its steps depend on one another, so they are no repeats."""
    return "judged_by" in workload_definition(workload)


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The sorted dotted names of settings that differ, without those that `comparable` ignores."""
    return sorted(_differing(comparable(before), comparable(after), ""))


def _differing(before: Any, after: Any, name: str) -> list[str]:
    """The dotted names below `name` at which two nested values differ."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            inner_name
            for key in dict.fromkeys([*before, *after])
            for inner_name in _differing(before.get(key), after.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if before == after else [name]


def surroundings(record: Record) -> dict[str, Any]:
    """A record's environment and what else decides a time: threads, device, judging clock, precision, driver."""
    provenance = record.provenance
    facts = dict(record.environment)
    facts |= {name: record.settings[name] for name in ("threads", "device") if name in record.settings}
    sources = {"judging_clock": "clock", "float32_matmul": "float32_matmul", "driver": "driver"}
    return facts | {name: provenance[source] for name, source in sources.items() if source in provenance}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[list[str], dict[str, list[Any]]]:
    """Reasons why stored times of two environments cannot be compared, and all values that differ, by dotted name.
    Facts that drift, such as free memory, are ignored. `before`, `after`: as `surroundings` returns them."""
    old, new = dict(_flat(before)), dict(_flat(after))
    names = [name for name in dict.fromkeys([*old, *new]) if not DRIFTS.search(name.rpartition(".")[2])]
    differing = {name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)}
    in_words = {name: "{} before, {} now".format(*map(_in_words, values)) for name, values in differing.items()}
    problems = [f"{label}: {in_words[name]}" for name, label in MUST_MATCH.items() if name in differing]
    if "machine_id" in differing:
        problems.append(
            f"another machine: {in_words['machine_id']}; a stored time is valid only for the machine that measured it, "
            "even if the CPU model is the same"
        )
    problems += [f"{name} is not recorded" for name in MUST_BE_KNOWN if not old.get(name) and not new.get(name)]
    return problems, differing


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield values by dotted name, one level deep: packages and variables one by one, and all else as a whole."""
    for name, value in content.items():
        if isinstance(value, Mapping) and not prefix and name in ("packages", "variables"):
            yield from _flat(value, f"{name}.")
        else:
            yield prefix + str(name), value


def _in_words(value: Any) -> str:
    """Write a value for people; a list by its items, None as `not recorded`."""
    return UNKNOWN if value is None else ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
