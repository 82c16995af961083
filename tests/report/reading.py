"""Records on disk and back as a section gets them, and a section's tables as a test reads them."""

from collections.abc import Sequence

from suite.records.record import Record
from suite.records.telemetry import Sample
from suite.report.blocks import Section, Table
from suite.report.model.results import Results, read_results
from suite.report.page.texts import load_texts
from tests.records.factory import store


def results_of(tmp_path, *records, **labelled) -> Results:
    """Records under one label, or lists of records by label."""
    labelled = labelled or {"results": records}
    for label, part in labelled.items():
        store(tmp_path / label, *part)
    return read_results([tmp_path / label for label in labelled])


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.rows]


def results_with_series(tmp_path, *runs: tuple[Record, Sequence[Sample]]) -> Results:
    """Each record with a series of its own, under one label."""
    for record, series in runs:
        store(tmp_path / "results", record, series=series)
    return read_results([tmp_path / "results"])


def samples(
    device: str, quantity: str, values: Sequence[float], *, phase="measure", marks=(), start_s=0.0, every_s=0.1
):
    """A value each `every_s` seconds; `marks` by place."""
    marked = dict(marks)
    return [
        Sample(
            time_s=start_s + place * every_s,
            unix_s=1.7e9 + start_s + place * every_s,
            phase=phase,
            device=device,
            quantity=quantity,
            value=value,
            mark=marked.get(place),
        )
        for place, value in enumerate(values)
    ]


def telemetry(**said) -> dict:
    """A record's provenance as a watched run on one GPU leaves it."""
    gpu = {"name": "Test GPU", "used": True, "state": "measured", "power_usage_is": "average over 1 s"}
    sources = {"nvml": {"state": "measured"}, "rapl": {"state": "not_here", "why": "there is no powercap"}}
    return {"telemetry": {"ticks": 57, "sources": sources, "devices": {"gpu0": gpu}} | said}


def said(section: Section | None, lang: str = "en") -> Section | None:
    """A section in a language; None of none."""
    return None if section is None else load_texts(lang).section(section)
