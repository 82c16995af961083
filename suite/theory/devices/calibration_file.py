"""Calibrations in files: those of conf/calibration, and a user's own in their place, which may be anybody's."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.configuration.files import choices, read_choice
from suite.configuration.untrusted import parse_yaml
from suite.configuration.values import clipped, given_text, number_between, one_of, whole_number
from suite.theory.devices.calibration import (
    DTYPE,
    EXPERTS,
    GQA,
    MATRICES,
    MLA,
    PREFILL,
    WIDTHS,
    Calibration,
    Cell,
    Fit,
    Kernel,
    Products,
    Speedup,
)
from suite.theory.devices.hardware import hardware_names, load_hardware

LEAST_SHARE, MOST_ERROR, MOST_US, MOST_SIZE = 1e-6, 20.0, 1e9, 1 << 31
"""What a file may say, so that every time that follows from it is a number. Our least share is 0.32."""

_in_force: dict[str, Calibration] = {}
"""Calibrations of a user's own, by device, in place of those of conf/calibration."""


@contextmanager
def calibrated_by(file: Path | None) -> Iterator[None]:
    """Use a file of `suite calibrate` instead of conf/calibration for its device meanwhile; None changes nothing."""
    before = dict(_in_force)
    if file is not None:
        calibration = read_calibration(file)
        _in_force[calibration.name] = calibration
    try:
        yield
    finally:
        _in_force.clear()
        _in_force.update(before)


def load_calibration(name: str) -> Calibration | None:
    """A device's calibration by the name of conf/hardware; None where there is none."""
    return _in_force.get(name) or (_calibration_in_conf(name) if name in choices("calibration") else None)


@functools.cache
def _calibration_in_conf(name: str) -> Calibration:
    return calibration_from(read_choice("calibration", name))


def known_calibrations() -> list[Calibration]:
    """The calibration of every device that has one, a user's own in place of conf/calibration's."""
    return [calibration for name in hardware_names() if (calibration := load_calibration(name))]


def read_calibration(file: Path) -> Calibration:
    """Read a file that `suite calibrate` wrote. Raises ValueError, in one sentence, for what is none."""
    try:
        return calibration_from(parse_yaml(file.read_bytes()))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"calibration must be a file of suite calibrate; got {str(file)!r} ({reason})") from error


def calibration_from(content: Any) -> Calibration:
    """Check a file's parsed contents and build the calibration. Raises ValueError, in one sentence, for wrong ones. A
    file without products takes those of conf/calibration for its device."""
    if not isinstance(content, dict):
        raise ValueError(f"it must hold name, source, made and decode; got {clipped(content)}")
    fits = [
        Fit(of=_kernel(row), largest_error=number_between(row, "largest_error", 0, MOST_ERROR), **_fitted_numbers(row))
        for row in _rows(content, "decode")
    ]
    name = given_text(content, "name")
    if name not in hardware_names() or load_hardware(name).ceilings(DTYPE) is None:
        raise ValueError(f"name must be a device of conf/hardware with a {DTYPE} peak; got {clipped(name)}")
    if not fits:
        raise ValueError("decode must have at least one row; got none")
    if len({fit.of for fit in fits}) < len(fits):
        raise ValueError("decode must have one row for each kernel and its sizes; got two for one of them")
    products = _rows(content, "products")
    if "products" not in content and name in choices("calibration"):  # `suite calibrate` has no records of them to fit
        products = read_choice("calibration", name).get("products", [])
    return Calibration(
        name=name,
        source=given_text(content, "source"),
        made=given_text(content, "made"),
        decode=fits,
        prefill={one_of(row, "kernel", PREFILL): _shares(row, "shares", int) for row in _rows(content, "prefill")},
        arithmetic=_shares(content, "arithmetic", str),
        speedups=[_speedup(row) for row in _rows(content, "speedups")],
        measured=[_cell(row) for row in _rows(content, "measured")],
        products=[
            Products(
                kind=one_of(row, "kind", (MATRICES, EXPERTS)),
                weights=given_text(row, "weights"),
                **_sizes(row, "rows"),
                **_fitted_numbers(row),
            )
            for row in products
        ],
    )


def _rows(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows under a name, none where it is missing. Raises ValueError for anything but a list of mappings."""
    rows = content.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} must be a list of rows with names and values; got {clipped(rows)}")
    return rows


def _sizes(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: whole_number(row, name, at_least=1, at_most=MOST_SIZE) for name in names}


def _kernel(row: Mapping[str, Any]) -> Kernel:
    kernel = one_of(row, "kernel", (GQA, MLA))
    widths = dict(zip(("qk_dim", "v_dim"), WIDTHS[kernel], strict=True))
    return Kernel(kernel=kernel, **_sizes({**widths, **row}, "heads", "kv_heads", "qk_dim", "v_dim"))


def _fitted_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's floor in seconds, its share, its errors and its number of cells, by the names of TwoNumbers' fields."""
    return {
        "share": number_between(row, "share", LEAST_SHARE, 1),
        "floor_s": number_between(row, "floor_us", 0, MOST_US) * 1e-6,
        **{name: number_between(row, name, 0, MOST_ERROR) for name in ("median_error", "p90_error")},
        "cells": whole_number(row, "cells", at_least=0, at_most=MOST_SIZE),
    }


def _cell(row: Mapping[str, Any]) -> Cell:
    time_s = number_between(row, "best_us", LEAST_SHARE, MOST_US) * 1e-6
    by = given_text(row, "by")
    return Cell(of=_kernel(row), **_sizes(row, "batch", "seq_len"), time_s=time_s, by=by)


def _speedup(row: Mapping[str, Any]) -> Speedup:
    """A measured speed-up of MLA over GQA, from a row. Raises ValueError for a wrong one."""
    ends = row.get("tokens")
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(f"tokens must be a first and a last number; got {clipped(ends)}")
    low, high = (_sizes({"tokens": end}, "tokens")["tokens"] for end in ends)
    speedup = number_between(row, "speedup", LEAST_SHARE, 1 / LEAST_SHARE)
    return Speedup(**_sizes(row, "heads", "kv_heads", "cells"), tokens=(low, high), speedup=speedup)


def _shares(row: Mapping[str, Any], name: str, key_type: type) -> dict[Any, float]:
    """The shares under a name: by length of the prompt if `key_type` is int, by kernel if it is str."""
    shares = row.get(name, {})
    is_known = isinstance(shares, dict) and all(type(key) is key_type for key in shares)
    if not is_known or not all(key_type is str or 1 <= key <= MOST_SIZE for key in shares):
        keys = "tokens" if key_type is int else "kernel"
        raise ValueError(f"{name} must hold shares by {keys}; got {clipped(shares)}")
    return {key: number_between(shares, key, LEAST_SHARE, 1, where=f"{name}.") for key in shares}
