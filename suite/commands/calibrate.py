"""`suite calibrate`: a device's calibration from a machine's own records, in the place of others' measurements."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml

import suite
from suite.console.table import ConsoleColumn, number_column, say_table
from suite.machine.plain_text import say
from suite.records import numbers
from suite.records.stores.files import write_named
from suite.records.stores.store import check_folders, read_contents
from suite.report.model.experiment import grouped
from suite.report.model.timed_kernels import TimedPrefill, timed_kernel, timed_prefill
from suite.theory.devices.calibration import DTYPE, WIDTHS, Cell, Fit, Kernel
from suite.theory.devices.calibration_fit import FEWEST_CELLS, fit_family, select_usable
from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.roofline import Ceilings

DONE, BROKEN = 0, 4
MADE = (
    "decode: bfloat16, one new token; of each batch and context the fastest backend; floor and share fitted on every "
    "second cell with at least 512 cached tokens and a bound of at least 2 µs, errors on the others"
)
CellsByFamily = dict[str, list[Cell]]


def calibrate(folders: Sequence[Path], *, out: Path | None) -> int:
    """Print the fits of every known GPU whose decode kernels the folders' records timed, and write them to a file.

    Returns 4 where a run is damaged, else 0. Raises ValueError, in one sentence, for a folder that is not there, where
    there is nothing to fit, and for a file where the records are of several devices.
    """
    check_folders(folders)
    contents = read_contents(folders)
    records = [stored.record for stored in contents.stored]
    kernels = grouped(filter(None, map(timed_kernel, records)), lambda kernel: kernel[0])
    if not kernels:
        raise ValueError(
            f"calibrate needs {DTYPE} decode kernels that were timed on a GPU of conf/hardware; the {len(records)} "
            f"records in {', '.join(map(str, folders))} have none"
        )
    if out is not None and len(kernels) > 1:
        raise ValueError(f"out must be for one device; the records are of {', '.join(kernels)}")
    families = {device: _usable_cells(device, [cell for _, cell in pairs]) for device, pairs in kernels.items()}
    fits = {device: _fit_families(device, by_family) for device, by_family in families.items()}
    if not any(fits.values()):
        counts = ", ".join(map(_counts, families.values()))
        raise ValueError(
            f"calibrate needs {FEWEST_CELLS} measurements of one family of kernels, each of one new token after at "
            f"least 512 and no faster than its bound; got {counts}"
        )
    for device, device_fits in fits.items():
        _print_fits(device, device_fits)
        if few := {family: cells for family, cells in families[device].items() if len(cells) < FEWEST_CELLS}:
            say(f"left out, with fewer than {FEWEST_CELLS} measurements: {_counts(few)}")
    if out is not None:
        ((device, device_fits),) = fits.items()
        prefills = [prefill for prefill in map(timed_prefill, records) if prefill and prefill.device == device]
        content = _file_content(device, device_fits, prefills, len(records))
        text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=1000, allow_unicode=True)
        write_named(out, text.encode())
        say(f"Written: {out}")
    return BROKEN if contents.damaged else DONE


def _ceilings(device: str) -> Ceilings:
    ceilings = load_hardware(device).ceilings(DTYPE)
    assert ceilings is not None, device
    return ceilings


def _usable_cells(device: str, cells: Sequence[Cell]) -> CellsByFamily:
    usable_cells = grouped(select_usable(cells, _ceilings(device)), lambda cell: cell.of)
    return {_family(kernel): usable_cells.get(kernel, []) for kernel in dict.fromkeys(cell.of for cell in cells)}


def _fit_families(device: str, families: CellsByFamily) -> list[Fit]:
    fits = [fit_family(cells, _ceilings(device)) for cells in families.values() if len(cells) >= FEWEST_CELLS]
    return sorted(fits, key=lambda fit: (fit.of.kernel, fit.of.heads, fit.of.kv_heads, fit.of.qk_dim))


def _family(kernel: Kernel) -> str:
    is_usual = (kernel.qk_dim, kernel.v_dim) == WIDTHS[kernel.kernel]
    return kernel.family + ("" if is_usual else f" of widths {kernel.qk_dim} and {kernel.v_dim}")


def _counts(families: CellsByFamily) -> str:
    return ", ".join(f"{len(cells)} of {family}" for family, cells in families.items())


def _print_fits(device: str, fits: Sequence[Fit]) -> None:
    """Print a device's fits as a table."""
    say(f"{device}: expected decode kernel time = floor + bound / share. Errors are of cells that were not fitted.")
    say_table(
        [
            ConsoleColumn(title="kernel", cells=[_family(fit.of) for fit in fits], is_name=True),
            number_column("share", [fit.share for fit in fits], numbers.percent),
            number_column("floor", [fit.floor_s for fit in fits], numbers.seconds),
            number_column("median error", [fit.median_error for fit in fits], numbers.percent),
            number_column("90% of errors below", [fit.p90_error for fit in fits], numbers.percent),
            number_column("cells", [fit.cells for fit in fits]),
        ]
    )


def _file_content(device: str, fits: Sequence[Fit], prefills: Sequence[TimedPrefill], count: int) -> dict[str, Any]:
    """What a file of conf/calibration holds. `count`: of the records that were read."""
    decode = [
        {
            **{name: getattr(fit.of, name) for name in ("kernel", "heads", "kv_heads", "qk_dim", "v_dim")},
            "share": round(fit.share, 4),
            "floor_us": round(fit.floor_s * 1e6, 2),
            "median_error": round(fit.median_error, 4),
            "p90_error": round(fit.p90_error, 4),
            "largest_error": round(fit.largest_error, 4),
            "cells": fit.cells,
        }
        for fit in fits
    ]
    prefill = _prefill_rows(prefills, _ceilings(device).flops_per_s)
    source = f"suite calibrate {suite.__version__}, of {count} records"
    content = {"name": device, "source": source, "made": MADE, "decode": decode}
    return content | ({"prefill": prefill} if prefill else {})


def _prefill_rows(prefills: Sequence[TimedPrefill], peak_flops_per_s: float) -> list[dict[str, Any]]:
    """A row for each prefill kernel: by length, the median share of the peak, of the fastest backend of each case."""
    rows = []
    for kernel, runs in grouped(prefills, lambda run: run.kernel).items():
        shares: dict[int, list[float]] = {}
        for (tokens, flops), repeats in grouped(runs, lambda run: (run.seq_len, run.flops)).items():
            share = flops / min(run.time_s for run in repeats) / peak_flops_per_s
            if share <= 1:  # above the peak it was not timed whole
                shares.setdefault(tokens, []).append(share)
        if shares:
            medians = {tokens: round(median(shares[tokens]), 3) for tokens in sorted(shares)}
            rows.append({"kernel": kernel, "shares": medians, "cells": sum(map(len, shares.values()))})
    return rows
