"""Records on disk and back as a section gets them, a section's tables and a page's parts as a test reads them."""

import base64
import gzip
import json
import re
from collections.abc import Callable, Sequence

from suite.records.record import Record
from suite.records.stores.telemetry import TelemetrySample
from suite.report.blocks import Section, Table
from suite.report.model.results import Results, read_results
from suite.report.page.texts import load_texts
from tests.records.factory import store


def results_of(tmp_path, *records, **labelled) -> Results:
    """Records under one label, or lists of records by label."""
    labelled = labelled or {"results": records}
    for label, part in labelled.items():
        (tmp_path / label).mkdir(parents=True, exist_ok=True)
        store(tmp_path / label, *part)
    return read_results([tmp_path / label for label in labelled])


def built(build: Callable[[Results], Section | None], tmp_path, *records, lang="en", **labelled) -> Section | None:
    """A section over records, in a language; None where it says nothing of them."""
    return said(build(results_of(tmp_path, *records, **labelled)), lang)


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.rows]


def results_with_series(tmp_path, *runs: tuple[Record, Sequence[TelemetrySample]]) -> Results:
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
        TelemetrySample(
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


def blocks_of(page: str) -> dict:
    """The parts that stand in a page compressed, by name, `en/speed`, `runs`, as its scripts put them together."""
    packed = re.findall(r'data-block="([^"]*)">(.*?)</script>', page)
    blocks = {name: json.loads(gzip.decompress(base64.b64decode(content))) for name, content in packed}
    for name in [name[3:] for name in blocks if name.startswith("en/")]:
        blocks[f"zh/{name}"] = patched(blocks[f"en/{name}"], blocks.get(f"zh/{name}", {}))
    numbers = blocks.pop("numbers", {"tables": ()})
    for line, table in zip(blocks.get("runs", ()), numbers["tables"], strict=True):
        rows = zip(numbers["names"][table], numbers["columns"][table], strict=True)
        line["numbers"] = [[*name, *column.pop(0)] for name, column in rows]
    return blocks


def patched(base, changes):
    """As parts.js does it, in a copy."""
    if isinstance(changes, list):
        return changes[0]
    if isinstance(base, list):
        return [patched(part, changes.get(str(place), {})) for place, part in enumerate(base)]
    return {k: patched(part, changes.get(k, {})) for k, part in base.items()} if isinstance(base, dict) else base


def whole_text(page: str) -> str:
    """All that a page holds, its compressed parts too, without libraries."""
    without = re.sub(r'data-(?:block|library)="[^"]*">.*?</script>', "", page)
    return without + json.dumps(blocks_of(page), ensure_ascii=False)


def figures_of(page: str) -> list[dict]:
    """The figures that a page holds, in every view and language."""
    views = [content for name, content in blocks_of(page).items() if "sections" in content]
    sections = [section for view in views for section in view["sections"]]
    return [view["figure"] for section in sections for figure in section["figures"] for view in figure["views"]]


def sections_of(page: str, lang: str = "en") -> set[str]:
    """The ids of the sections of a page."""
    views = [content for name, content in blocks_of(page).items() if name.startswith(f"{lang}/")]
    return {section["id"] for view in views for section in view.get("sections", ())}
