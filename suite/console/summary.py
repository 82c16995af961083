"""What a record comes to in words: a workload's YAML names, under `summary`, the function that says it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from suite.configuration.files import locate, workload_definition
from suite.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is told of a record beside its times, its checks and its energy, which any record may have."""

    lines: Sequence[tuple[str, str]] = ()
    """Names and texts, where the record stands alone."""
    brief: str | None = None
    """Its part of a line among others."""


Summarise = Callable[[Record], Summary]


def plain(record: Record) -> Summary:
    """Tell nothing more of a record whose workload names no summary."""
    return Summary()


def summary_by(dotted: str | None) -> Summarise:
    """Return the function of a dotted name. Raises ValueError where there is none."""
    found: Summarise = locate(dotted) if dotted is not None else plain
    return found


def summary_of(record: Record) -> Summary:
    """Summarise a stored record; plainly where its workload is unknown."""
    return summary_by(workload_definition(record.case.workload).get("summary"))(record)
