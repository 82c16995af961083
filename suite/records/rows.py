"""Rows of a table that are kept as columns, in half of the memory that an object for each would take."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

Row = TypeVar("Row")
Columns = Mapping[str, Sequence[Any]]
"""Values by the name of their column, in the order of a row's attributes."""


class Rows(Sequence[Row], Generic[Row]):
    """Rows in their order; an object is made of one where it is asked for.

    `places`: the rows of the columns that these are, by default all.
    """

    def __init__(self, row: Callable[..., Row], columns: Columns, places: Sequence[int] | None = None) -> None:
        self._row, self._columns, self._places = row, columns, places

    def column(self, name: str) -> Sequence[Any]:
        values = self._columns[name]
        return values if self._places is None else [values[place] for place in self._places]

    @property
    def places(self) -> Sequence[int]:
        """The numbers of the rows in their table, from 0."""
        return range(len(self)) if self._places is None else self._places

    def grouped(self, *names: str) -> dict[tuple[Any, ...], "Rows[Row]"]:
        """The rows by what they have in these columns, in the order in which they come."""
        places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for place, key in zip(self.places, zip(*map(self.column, names), strict=True), strict=True):
            places[key].append(place)
        return {key: Rows(self._row, self._columns, array("l", of_key)) for key, of_key in places.items()}

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ())) if self._places is None else len(self._places)

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, *map(self.column, self._columns))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        place = self.places[index]
        return self._row(*(values[place] for values in self._columns.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
