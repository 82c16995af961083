"""Which case of the one tree is which of the other.

Their ids are equal, or, where one tree has an axis more than the other, they agree in every axis that both have.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import workload_definition
from suite.records.case import Case, comparable

BEFORE_A_QUOTE = re.compile(r"(\\*)('|$)")


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """A case as a worker composed it."""

    case: Case
    """By the names of today, which its tree may be older than."""
    settings: Mapping[str, Any]
    code: Mapping[str, str | None]
    """Modules that the settings name code of, each with its file in the tree; None for one that lies elsewhere."""
    called: str | None = None
    """Its id in its own tree, where that is another."""

    @property
    def id(self) -> str:
        return self.case.id


@dataclass(frozen=True, kw_only=True)
class Paired:
    both: Sequence[tuple[Expanded, Expanded]]
    redefined: Sequence[tuple[Expanded, Expanded]]
    """Called alike in both trees, which mean different things by it."""
    gone: Sequence[Expanded]
    added: Sequence[Expanded]


def expanded_from(answer: Mapping[str, Any]) -> list[Expanded]:
    """The cases of a worker's answer to `expand`."""
    return [_expanded(one) for one in answer["cases"]]


def _expanded(one: Mapping[str, Any]) -> Expanded:
    called = Case(workload=one["workload"], axes=one["axes"], extras=one["extras"])
    case = called.today(one["settings"])
    return Expanded(
        case=case,
        settings=one["settings"],
        code=one["code"],
        called=None if case.id == called.id else called.id,
    )


def is_judged_by_seed(workload: str) -> bool:
    """Return whether a workload's YAML says how runs of paired seeds are judged, by their records alone.

    Its steps follow from one another, or are no repeats.
    """
    return "judged_by" in workload_definition(workload)


def check_can_be_timed(cases: Sequence[Expanded], sweep: str) -> None:
    """Raises ValueError for a workload that is judged by seed: a run's steps follow from one another, and none repeats
    another."""
    if found := [one.case.workload for one in cases if is_judged_by_seed(one.case.workload)]:
        raise ValueError(
            f"sweep must have no case of workload={found[0]}, which is judged by stored records of paired seeds (suite "
            f"gate --baseline FOLDER --candidate FOLDER) and not side by side; got {sweep!r}"
        )


def paired(before: Sequence[Expanded], after: Sequence[Expanded]) -> Paired:
    """Every case once: in both trees, in both with another meaning, only before, or only after."""
    by_id = {one.id: one for one in before}
    both, added = [], []
    for one in after:
        found = by_id.pop(one.id, None)
        both += [(found, one)] if found else []
        added += [] if found else [one]
    for one in [*added]:
        alike = [other for other in by_id.values() if _agree(other.case, one.case)]
        rivals = [other for other in added if alike and _agree(alike[0].case, other.case)]
        if len(alike) == len(rivals) == 1:
            both.append((by_id.pop(alike[0].id), one))
            added.remove(one)
    by_call = {one.called: one for one in by_id.values() if one.called}
    redefined = [(by_id.pop(by_call[one.id].id), one) for one in added if one.id in by_call]
    added = [one for one in added if one.id not in by_call]
    return Paired(both=both, redefined=redefined, gone=list(by_id.values()), added=added)


def _agree(one: Case, other: Case) -> bool:
    """Whether one has all that the other has, the same, and no axis that is set aside differs."""
    these, those = ({"workload": case.workload, **case.axes, **case.extras} for case in (one, other))
    shared = these.keys() & those.keys()
    is_part = shared in (these.keys(), those.keys())
    return is_part and all(these[name] == those[name] for name in shared)


def command_of(case: Case, chosen: Sequence[str] = ()) -> list[str]:
    """The case as a command line that Hydra reads, for a tree whose sweep does not have it.

    `chosen`: settings of the command line that compared the trees. Those of Hydra, such as where it looks for groups,
    are in no case, and are needed here too.
    """
    pairs = {"workload": case.workload, **case.axes, **case.extras}
    of_hydra = [one for one in chosen if one.startswith("hydra.")]
    return ["-m", *of_hydra, *(f"{name}={_quoted(value)}" for name, value in pairs.items() if value is not None)]


def _quoted(value: Any) -> str:
    """A text always in quotes, so that `12`, `null` and `1e5` stay texts. Hydra reads a backslash in them as itself
    unless a quote follows."""
    if isinstance(value, str):
        escaped = BEFORE_A_QUOTE.sub(lambda found: 2 * found[1] + "\\'" * bool(found[2]), value)
        return f"'{escaped}'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Dotted names of the settings that differ and count."""
    return sorted(_differing(comparable(before), comparable(after), ""))


def _differing(before: Any, after: Any, name: str) -> list[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = dict.fromkeys([*before, *after])
        return [
            found
            for key in keys
            for found in _differing(before.get(key), after.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if before == after else [name]
