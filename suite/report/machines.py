"""What a record ran on, for whoever sorts by it."""

from suite.records.privacy import scrub
from suite.records.record import Record
from suite.report.charts import LONGEST_TEXT
from suite.report.results import CurrentRecord
from suite.report.timings import axis


def machine_name(record: Record) -> str:
    """The GPU's or the processor's own name, where the record has it."""
    device, gpus = axis(record, "device"), record.environment.get("gpus")
    if device.startswith("cuda") and isinstance(gpus, list) and gpus:
        return scrub(str(gpus[0]))[:LONGEST_TEXT]
    cpu = record.environment.get("cpu")
    return scrub(str(cpu))[:LONGEST_TEXT] if cpu and device == "cpu" else device


def machine_id(current: CurrentRecord) -> str:
    """Two results without a machine's identity may come from two machines."""
    return str(current.record.environment.get("machine_id") or current.label)
