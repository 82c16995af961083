"""Closed forms as sums of products of named sizes, so that the page needs no formula of its own.

A form of suite.theory that only adds and multiplies is called with a `Polynomial` for each size that the reader
chooses; its result is the coefficients of their products.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Polynomial:
    """A sum: coefficients by the sorted names that they multiply."""

    coefficients: Mapping[tuple[str, ...], float] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str) -> Self:
        """The polynomial that is one size, by its name."""
        return cls({(name,): 1})

    def __add__(self, other: "Polynomial | float") -> "Polynomial":
        added = dict(self.coefficients)
        for names, number in _coefficients(other).items():
            added[names] = added.get(names, 0) + number
        return Polynomial({names: number for names, number in added.items() if number})

    def __mul__(self, other: "Polynomial | float") -> "Polynomial":
        products = [
            Polynomial({tuple(sorted(ours + theirs)): number * factor})
            for ours, number in self.coefficients.items()
            for theirs, factor in _coefficients(other).items()
        ]
        return sum(products, Polynomial())

    __radd__, __rmul__ = __add__, __mul__

    def __sub__(self, other: "Polynomial | float") -> "Polynomial":
        return self + -1 * other

    def __rsub__(self, other: "Polynomial | float") -> "Polynomial":
        return -1 * self + other

    def __floordiv__(self, divisor: int) -> "Polynomial":
        """Divide the coefficients without rounding: only for sizes that are known to divide, as half a head's width."""
        return self * (1 / divisor)


def _coefficients(value: Polynomial | float) -> Mapping[tuple[str, ...], float]:
    """A polynomial's coefficients; a number is one without names, and zero has none."""
    return value.coefficients if isinstance(value, Polynomial) else {(): value} if value else {}


def as_data(value: Any) -> Any:
    """Write polynomials, also within lists and mappings, as texts for the page's script: `=2*hidden*h+128`.

    One without sizes becomes its number; any other value stays as it is.
    """
    if isinstance(value, Mapping):
        return {name: as_data(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(part) for part in value]
    if not isinstance(value, Polynomial):
        return value
    products = ["*".join([f"{number:.17g}", *names]) for names, number in value.coefficients.items()]
    return f"={'+'.join(products)}" if any(value.coefficients) else value.coefficients.get((), 0)
