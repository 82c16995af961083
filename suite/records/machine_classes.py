"""Which machines are alike, so that a sweep which they shared reads as one.

Two machines are alike if they are of one kind and the ceilings that both measured, bandwidth at least, are at most
MOST_APART apart. Many virtual machines are not: one in results/reference differs from itself by 15% between two days.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from suite.records.case import comparison_key
from suite.records.derived import constant
from suite.records.machines import machine_names, model_name, recorded_machine, short_id
from suite.records.record import Evidence, Record
from suite.records.stores.telemetry import telemetry_facts

MOST_APART = 1.03
ARITHMETIC, BANDWIDTH = CEILINGS = ("ceiling_flops_per_s", "ceiling_bytes_per_s")
HARDWARE = ("architecture", "cpu", "cpu_family", "logical_cpus", "gpus")


Ceilings = Mapping[tuple[str, ...], float]
"""Rates by ceiling, device and threads; then of arithmetic by dtype and precision, of memory by cache level."""


def kind_of_machine(records: Sequence[Record]) -> str:
    """What machines of one kind have in common, from the records of one: processors, memory in GiB, GPUs, and the
    versions of the driver and of torch. Empty where the processor is not known."""
    environment = records[0].environment
    if not environment.get("cpu"):
        return ""
    memory = environment.get("memory_bytes")
    gibibytes = round(memory / 2**30) if isinstance(memory, int) else None
    drivers = _texts((telemetry_facts(record).get("nvml") for record in records), "driver")
    versions = _texts((record.environment.get("packages") for record in records), "torch")
    return str([*(environment.get(name) for name in HARDWARE), gibibytes, drivers, versions])


def _texts(facts: Iterable[Any], name: str) -> list[str]:
    return sorted({str(each[name]) for each in facts if isinstance(each, Mapping) and name in each})


def machine_ceilings(records: Iterable[Record]) -> Ceilings:
    """The median of each ceiling that the records of one machine hold."""
    rates: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for record in records:
        device, threads, dtype = (record.case.settings.get(name, "") for name in ("device", "threads", "dtype"))
        precision = str(record.settings.get("matmul_precision"))
        for span in {span for span, metric in record.by_span if metric in CEILINGS}:
            traffic = constant(record, span, "traffic_bytes") or 0.0
            # Bandwidth is probed at 4^k bytes, and the rate is that of the last probe within the traffic.
            level = str((int(traffic).bit_length() + 1) // 2)
            for name, place in ((ARITHMETIC, (dtype, precision)), (BANDWIDTH, (level,))):
                if rate := constant(record, span, name):
                    rates[name, device, threads, *place].append(rate)
    return {key: median(values) for key, values in rates.items()}


def times_apart(first: Ceilings, other: Ceilings) -> dict[str, float]:
    """By a ceiling's name, how many times as high one of two machines reaches as the other: the mean over all that both
    measured. Without the names of which they share nothing."""
    logs: dict[str, list[float]] = defaultdict(list)
    for key in first.keys() & other.keys():
        logs[key[0]].append(math.log(first[key] / other[key]))
    return {name: math.exp(abs(fmean(values))) for name, values in logs.items()}


def machine_classes(by_machine: Mapping[str, Sequence[Record]]) -> list[list[str]]:
    """The machines, by their ids, with all that are alike in one list."""
    kinds = {machine: kind_of_machine(records) for machine, records in by_machine.items()}
    # Records are read for their ceilings only where machines are of one kind.
    several = {kind for kind, count in Counter(kinds.values()).items() if kind and count > 1}
    ceilings = {machine: machine_ceilings(by_machine[machine]) for machine in kinds if kinds[machine] in several}
    classes: list[list[str]] = []
    for machine, kind in kinds.items():
        for members in classes if kind in several else ():
            ratios = [times_apart(ceilings[machine], ceilings[other]) for other in members if kinds[other] == kind]
            if len(ratios) == len(members) and all(map(_is_close, ratios)):
                members.append(machine)
                break
        else:
            classes.append([machine])
    return classes


def _is_close(ratios: Mapping[str, float]) -> bool:
    return BANDWIDTH in ratios and max(ratios.values()) <= MOST_APART


def class_names(records: Sequence[Record]) -> list[str]:
    """For each record the name under which its times may be compared.

    It is its machine's, by `machine_names`. Machines alike that shared a sweep have one, such as `AMD EPYC × 3`: every
    comparison of it was run whole by exactly one of them. What a lost machine left of a comparison keeps its own.
    """
    machines, names = [recorded_machine(record) for record in records], machine_names(records)
    by_machine: dict[str, list[Record]] = defaultdict(list)
    for machine, record in zip(machines, records, strict=True):
        if machine:
            by_machine[machine].append(record)
    for members in machine_classes(by_machine) if len(by_machine) > 1 else ():
        owners = _comparison_owners({member: by_machine[member] for member in members})
        if owners is None:
            continue
        name = f"{model_name(by_machine[members[0]][0])} × {len(members)}"
        name = f"{name}, {short_id(members[0], by_machine)}" if name in names else name
        for place, (machine, record) in enumerate(zip(machines, records, strict=True)):
            is_whole = owners.get(comparison_key(record.case, record.settings), machine) == machine
            if machine in members and is_whole:
                names[place] = name
    return names


def _comparison_owners(by_machine: Mapping[str, Sequence[Record]]) -> dict[Hashable, str] | None:
    """By comparison, the machine that ran all its cases; None unless exactly one did, and at least two machines have
    run comparisons."""
    ran: dict[Hashable, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for machine, records in by_machine.items():
        for record in records:
            if record.evidence is Evidence.MEASURED:
                key = comparison_key(record.case, record.settings)
                if key == record.case.id:  # a foreign record, of which nobody knows what it is compared with
                    return None
                ran[key][machine].add(record.case.id)
    owners: dict[Hashable, str] = {}
    for key, cases in ran.items():
        everything = set[str]().union(*cases.values())
        whole = [machine for machine, ran_there in cases.items() if ran_there == everything]
        if len(whole) != 1:
            return None
        owners[key] = whole[0]
    return owners if len(set(owners.values())) > 1 else None
