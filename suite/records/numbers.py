"""Numbers as people read them: three significant digits. Times are SI; bytes are IEC (1 MiB = 1,048,576 B).

A tick is a round number on an axis, without zeros behind it.
"""

import math
from collections.abc import Sequence

TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
BYTE_UNITS = ((1024.0**4, "TiB"), (1024.0**3, "GiB"), (1024.0**2, "MiB"), (1024.0, "KiB"), (1.0, "B"))
JOULE_UNITS = ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))
NOTHING = "–"


def seconds(value: float) -> str:
    """A time with its unit: `1.23 ms`."""
    return _in_units(value, TIME_UNITS)


def seconds_range(low: float, high: float) -> str:
    """Write both ends in one unit, so that they compare at a glance."""
    size, unit = _unit(high, TIME_UNITS)
    return f"{_digits(low / size)}–{_digits(high / size)} {unit}"


def seconds_tick(value: float) -> str:
    """A time with its unit, for an axis: `1.5 ms`."""
    size, unit = _unit(value, TIME_UNITS)
    return f"{value / size:g} {unit}"


def duration(value: float) -> str:
    """Write a span of a person's time: 0.4 s, 18 s, 3 min 20 s, 2 h 5 min."""
    whole = round(value)
    if whole < 60:
        return f"{value:.1f} s" if whole < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def bytes_iec(value: float) -> str:
    """A size with its binary unit: `36.0 MiB`."""
    return _in_units(value, BYTE_UNITS)


def joules(value: float) -> str:
    return _in_units(value, JOULE_UNITS)


def joules_tick(value: float) -> str:
    size, unit = _unit(value, JOULE_UNITS)
    return f"{value / size:g} {unit}"


def watts(value: float) -> str:
    return f"{_digits(value)} W"


def giga(rate: float) -> str:
    """Write FLOP/s as GFLOP/s, and B/s as GB/s: decimal, as devices are sold."""
    return _digits(rate / 1e9)


def plain_tick(value: float) -> str:
    return f"{value:,g}"


def percent(share: float) -> str:
    """A share as a percentage: `14%`, below 10 with two digits, `1.4%`."""
    value = 100 * share
    return f"{value:,.0f}%" if abs(value) >= 10 else f"{_digits(value, 2)}%"


def times(ratio: float) -> str:
    """A ratio with its sign: `1.24×`."""
    return f"{_digits(ratio)}×"


def count(value: float) -> str:
    """A whole number with commas: `16,384`."""
    return f"{value:,.0f}"


Units = Sequence[tuple[float, str]]


def _in_units(value: float, units: Units) -> str:
    size, unit = _unit(value, units)
    return f"{_digits(value / size)} {unit}"


def _unit(value: float, units: Units) -> tuple[float, str]:
    # 1023.9 KiB is 1.00 MiB, and so is 1024 KiB, whose digits round down.
    most = max(value, _rounded(value))
    return next((unit for unit in units if most >= unit[0]), units[-1])


def _rounded(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")


def _digits(value: float, digits: int = 3) -> str:
    """The value with so many significant digits and commas; NOTHING where it is not finite."""
    if not math.isfinite(value):
        return NOTHING
    rounded = _rounded(value, digits)
    decimals = 0 if rounded == 0 else max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"
