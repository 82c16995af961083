"""Which machine a record is of, in words that tell it from the others and do not say where it stands."""

from collections import Counter
from collections.abc import Collection, Sequence

from suite.machine.privacy import without_paths
from suite.records.record import Record

SHORT_ID, LONGEST_NAME = 4, 60
MARKETING = ("(R)", "(TM)", "(r)", "(tm)")


def recorded_machine(record: Record) -> str:
    """The id of a record's machine; empty where it names none."""
    return str(record.environment.get("machine_id") or "")


def machine_names(records: Sequence[Record]) -> list[str]:
    """For each record its machine's name: processor and first GPU, with the beginning of the machine's id where that is
    missing or another machine has it too. Empty for a record without a machine id."""
    machines = [recorded_machine(record) for record in records]
    plain = {machine: model_name(record) for machine, record in zip(machines, records, strict=True)}
    counts = Counter(plain.values())
    names = {
        machine: name if name and counts[name] == 1 else ", ".join(filter(None, [name, short_id(machine, plain)]))
        for machine, name in plain.items()
    }
    return [names[machine] if machine else "" for machine in machines]


def model_name(record: Record) -> str:
    """The processor and the first GPU of a record's machine; empty where it names neither."""
    cpu, gpus = record.environment.get("cpu"), record.environment.get("gpus")
    parts = [cpu, *(gpus[:1] if isinstance(gpus, list) else [])]
    return plain_name(", ".join(part for part in parts if isinstance(part, str) and part))


def plain_name(name: str) -> str:
    """A processor's name as a label writes it: Intel Xeon, not Intel(R) Xeon(R)."""
    for mark in MARKETING:
        name = name.replace(mark, "")
    return without_paths(" ".join(name.split()))[:LONGEST_NAME]


def short_id(machine: str, machines: Collection[str]) -> str:
    """The beginning of a machine's id, with as many digits as tell it from the others."""
    for digits in range(SHORT_ID, len(machine)):
        if not any(other != machine and other.startswith(machine[:digits]) for other in machines):
            return machine[:digits]
    return machine
