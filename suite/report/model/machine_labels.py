"""A label for each machine of a folder: times of different machines never stand in one line or one median.

A repeated arm, seed by seed, may have been spread over machines. What its runs learnt is compared all the same, under
the folder's own label, and their times are left out.
"""

from collections import defaultdict
from collections.abc import Sequence

from suite.records.machines import machine_names, recorded_machine
from suite.records.record import Record

SEED = "seed"


def machine_labels(label: str, records: Sequence[Record]) -> list[tuple[str, bool]]:
    """For each record its label, and whether its times may be compared with others of that label.

    A folder of one machine keeps its label. Of several, each adds its name: `label (machine)`. Records of a workload
    that spread an arm's seeds over machines keep the folder's label, and their times may not be compared.
    """
    machines = [recorded_machine(record) for record in records]
    if len(set(machines)) < 2:
        return [(label, True)] * len(records)
    # The workloads of which an arm has its seeds on several machines, and on none of them all.
    seeds: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record, machine in zip(records, machines, strict=True):
        case = record.case
        if SEED in case.axes:
            arm = str([(name, value) for name, value in (*case.axes.items(), *case.extras.items()) if name != SEED])
            seeds[case.workload, arm][machine].add(str(case.axes[SEED]))
    spread = {
        workload
        for (workload, _), by_machine in seeds.items()
        if all(part < set[str]().union(*by_machine.values()) for part in by_machine.values())
    }
    return [
        (label, False)
        if record.case.workload in spread
        else (f"{label} ({name})" if label and name else label or name, True)
        for record, name in zip(records, machine_names(records), strict=True)
    ]
