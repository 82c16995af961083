"""Stored runs of one case as the tests of the stored form need them: times that differ from run to run."""

from tests.records.factory import build, store

BASE_S = (1.000e-3, 1.004e-3, 0.997e-3, 1.002e-3, 0.999e-3)
"""Medians of five runs that spread by 0.3%, as a calm machine's do."""
SETTINGS = {"threads": 1, "device": "cpu", "seed": 0}
ID = build().case.id


def run(median_s=1e-3, *, minute=0, **changed):
    """A record whose times have this median; each minute has times of its own, as real runs do."""
    nudge = 1 + minute * 1e-9
    latencies_s = tuple(median_s * nudge * part for part in (0.99, 1.0, 1.02))
    at = {"started_at": f"2026-03-01T10:{minute:02}:00+00:00"}
    provenance = at | changed.pop("provenance", {})
    return build(
        latencies_s=latencies_s, provenance=provenance, settings=SETTINGS | changed.pop("settings", {}), **changed
    )


def five(**changed):
    return [run(median_s, minute=minute, **changed) for minute, median_s in enumerate(BASE_S)]


def stored(tmp_path, before, after):
    """Two folders of runs, `before` and `after`."""
    for name, records in (("before", before), ("after", after)):
        if records is not None:
            (tmp_path / name).mkdir(parents=True)
            store(tmp_path / name, *records)
    return tmp_path / "before", tmp_path / "after"
