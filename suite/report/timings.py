"""Until every chapter reads model/run.py: axes and settings of a record."""

from suite.records.record import Record
from suite.report.attention.timings import OF_A_VARIANT
from suite.report.attention.timings import PLAUSIBLE_S as PLAUSIBLE_S
from suite.report.model.run import MOST_TOKENS as MOST_TOKENS
from suite.report.model.run import axis as axis
from suite.report.model.run import extras as extras


def own_extras(record: Record) -> list[str]:
    """Return sizes of a variant's own, which no other need share: `kv_heads=2`."""
    return extras(record, OF_A_VARIANT)
