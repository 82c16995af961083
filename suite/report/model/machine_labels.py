"""A label for each machine of a folder: times of different machines never stand in one line or one median.

A repeated arm, seed by seed, may have been spread over machines. What its runs learnt is compared all the same, under
the folder's own label, and their times are left out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from suite.records.privacy import without_paths
from suite.records.record import Record
from suite.records.store import StoredRecord

SEED = "seed"
SHORT_ID, LONGEST_NAME = 4, 60
MARKETING = ("(R)", "(TM)", "(r)", "(tm)")


def machine_labels(label: str, stored: Sequence[StoredRecord]) -> list[tuple[str, bool]]:
    """Return for each record its label, and whether its times may stand beside others of that label.

    A folder of one machine keeps its label. Of several, each adds its name, and what tells it from another of its name.
    """
    machines = [str(entry.record.environment.get("machine_id") or "") for entry in stored]
    if len(set(machines)) < 2:
        return [(label, True)] * len(stored)
    names = _names({machine: entry.record for machine, entry in zip(machines, stored, strict=True)})
    spread = _spread_workloads([entry.record for entry in stored], machines)
    return [
        (label, False)
        if entry.record.case.workload in spread
        else (f"{label} ({names[machine]})" if names[machine] else label, True)
        for machine, entry in zip(machines, stored, strict=True)
    ]


def _names(first: Mapping[str, Record]) -> dict[str, str]:
    """Return by machine the names of its processor and its first GPU; empty for records that do not say theirs."""
    plain = {}
    for machine, record in first.items():
        cpu, gpus = record.environment.get("cpu"), record.environment.get("gpus")
        parts = [cpu, *(gpus[:1] if isinstance(gpus, list) else [])]
        plain[machine] = plain_name(", ".join(part for part in parts if isinstance(part, str) and part))
    names = {}
    for machine, name in plain.items():
        is_told_apart = name and list(plain.values()).count(name) == 1
        parts = [name, "" if is_told_apart else machine[:SHORT_ID]]
        names[machine] = ", ".join(filter(None, parts)) if machine else ""
    return names


def plain_name(name: str) -> str:
    """Return a processor's name as a label writes it: Intel Xeon, not Intel(R) Xeon(R)."""
    for mark in MARKETING:
        name = name.replace(mark, "")
    return without_paths(" ".join(name.split()))[:LONGEST_NAME]


def _spread_workloads(records: Sequence[Record], machines: Sequence[str]) -> set[str]:
    """Return the workloads of which an arm has its seeds on several machines, and on none of them all."""
    seeds: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record, machine in zip(records, machines, strict=True):
        case = record.case
        if SEED in case.axes:
            arm = str([(name, value) for name, value in (*case.axes.items(), *case.extras.items()) if name != SEED])
            seeds[case.workload, arm][machine].add(str(case.axes[SEED]))
    return {
        workload
        for (workload, _), of_arm in seeds.items()
        if all(found < set[str]().union(*of_arm.values()) for found in of_arm.values())
    }
