"""Two checks of what is computed: how far kernels come that others published, and how far expected times are off."""

import math
from statistics import median

from suite.records import numbers
from suite.report.blocks import Headline, Kind, Table, Text, say
from suite.report.model.experiment import grouped
from suite.report.model.results import Results
from suite.report.model.timed_kernels import timed_kernel
from suite.report.table import Column, column, table
from suite.theory.answers.published import PublishedFigure, published_figures
from suite.theory.devices.calibration import relative_errors
from suite.theory.devices.calibration_file import known_calibrations, load_calibration


def headline() -> Headline:
    shares = [figure.share for figure in published_figures()]
    ends = {"low": min(shares), "middle": median(shares), "high": max(shares)}
    written: dict[str, str] = {name: numbers.percent(share) for name, share in ends.items()}
    return Headline(text=say("published.headline", **written))


def published_table() -> Table:
    """Every figure as a share of its card's roofline."""
    return table(say("published.table"), published_figures(), COLUMNS, note=say("published.note"), folded=True)


DeviceErrors = tuple[str, Text, list[float]]
"""A device, whose its measured cells are, and |expected / measured - 1| of each cell, sorted."""


def errors_table(results: Results) -> Table:
    """How far expected times are from measured cells, by device: those published with the calibration, then those of
    these records."""
    rows: list[DeviceErrors] = []
    for known in known_calibrations():
        errors = relative_errors([(known, cell) for cell in known.measured])
        rows.append((known.name, say("hardware.others"), errors))
    timed = [(current.label, kernel) for current in results.records if (kernel := timed_kernel(current.record))]
    for (label, device), of_both in grouped(timed, lambda item: (item[0], item[1][0])).items():
        if calibration := load_calibration(device):
            rows.append((device, label, relative_errors([(calibration, cell) for _, (_, cell) in of_both])))
    columns: list[Column[DeviceErrors]] = [
        column("signmap.device", lambda row: row[0], kind=Kind.CODE),
        column("hardware.whose", lambda row: row[1]),
        column("hardware.cells", lambda row: len(row[2]), numbers.count),
        column("hardware.median_error", lambda row: median(row[2]), numbers.percent),
        column("hardware.p90_error", lambda row: row[2][math.ceil(0.9 * len(row[2])) - 1], numbers.percent),
    ]
    return table(say("hardware.error_table"), [row for row in rows if row[2]], columns, note=say("hardware.error_note"))


def _problem(figure: PublishedFigure) -> Text:
    sizes = figure.sizes
    if sizes is None:
        return figure.problem
    is_grouped = sizes.kv_heads not in (None, sizes.heads)
    grouped = say("published.grouped", kv_heads=sizes.kv_heads) if is_grouped else ""
    return say(
        "published.sizes",
        heads=sizes.heads,
        width=say("published.latent") if sizes.kv_heads is None else sizes.head_dim,
        batch=sizes.batch,
        tokens=numbers.count(sizes.seq_len),
        rest=say("published.causal") if sizes.is_causal else grouped,
    )


COLUMNS: list[Column[PublishedFigure]] = [
    column("published.kernel", lambda figure: figure.kernel),
    # A kernel has many figures, which its problem tells apart.
    column("published.problem", _problem),
    column("signmap.device", lambda figure: figure.gpu, kind=Kind.CODE),
    column("column.phase", lambda figure: say(f"published.pass.{figure.kind}")),
    column("column.roofline", lambda figure: figure.share, numbers.percent),
    column("column.regime", lambda figure: say(f"regime.{figure.regime}")),
    column("published.figure", lambda figure: f"{figure.published:,g} {figure.unit}", kind=Kind.NUMBER),
    column("published.bound", lambda figure: figure.bound_s, numbers.seconds),
    column("published.time", lambda figure: figure.time_s, numbers.seconds),
    column("column.dtype", lambda figure: figure.dtype, kind=Kind.CODE),
    column("published.source", lambda figure: figure.source, kind=Kind.LONG),
    column("column.notes", lambda figure: figure.note, kind=Kind.LONG),
]
