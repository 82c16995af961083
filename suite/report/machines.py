"""What a record ran on, for whoever sorts by it."""

from collections.abc import Mapping

from suite.records.privacy import without_paths
from suite.records.record import Record
from suite.report.charts import LONGEST_TEXT
from suite.report.model.results import CurrentRecord
from suite.report.timings import axis


def machine_name(record: Record) -> str:
    """The GPU's or the processor's own name, where the record has it."""
    device, gpus, used = axis(record, "device"), record.environment.get("gpus"), record.provenance.get("device")
    if device.startswith("cuda") and isinstance(used, Mapping) and used.get("name"):
        return without_paths(str(used["name"]))[:LONGEST_TEXT]  # of several GPUs the one that the case ran on
    if device.startswith("cuda") and isinstance(gpus, list) and gpus:
        return without_paths(str(gpus[0]))[:LONGEST_TEXT]
    cpu = record.environment.get("cpu")
    return without_paths(str(cpu))[:LONGEST_TEXT] if cpu and device == "cpu" else device


def machine_id(current: CurrentRecord) -> str:
    """Two results without a machine's identity may come from two machines."""
    return str(current.record.environment.get("machine_id") or current.label)
