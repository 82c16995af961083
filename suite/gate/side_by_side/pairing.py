"""The match of cases between two trees.

Two cases match if their ids are equal, or, where one tree has an axis more than the other, if they agree in every axis
that both have.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import workload_definition
from suite.gate.side_by_side.answers import BadAnswerError, checked_cases
from suite.records.case import Case, comparable

BEFORE_A_QUOTE = re.compile(r"(\\*)('|$)")


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """A case as a worker composed it."""

    case: Case
    """The case under its names of today, which its tree may be older than."""
    settings: Mapping[str, Any]
    code: Mapping[str, str | None]
    """Modules that the settings name code of, each with its file in the tree; None for one that lies elsewhere."""
    old_id: str | None = None
    """The id in its own tree, where that is another."""

    @property
    def id(self) -> str:
        return self.case.id


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Every case of two trees, once."""

    both: Sequence[tuple[Expanded, Expanded]]
    redefined: Sequence[tuple[Expanded, Expanded]]
    """Cases of one id in both trees, which mean different things by it."""
    gone: Sequence[Expanded]
    added: Sequence[Expanded]


def expanded_from(answer: Mapping[str, Any]) -> list[Expanded]:
    """The cases in a worker's answer to `expand`, under today's names. Raises BadAnswerError for an invalid answer."""
    expanded = []
    for content in checked_cases(answer):
        settings = content["settings"]
        in_its_tree = Case(workload=content["workload"], axes=content["axes"], extras=content["extras"])
        try:
            case = in_its_tree.today(settings)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise BadAnswerError(f"the worker's answer to `expand` has an invalid case: {error}") from error
        old_id = None if case.id == in_its_tree.id else in_its_tree.id
        expanded.append(Expanded(case=case, settings=settings, code=content["code"], old_id=old_id))
    return expanded


def check_can_be_timed(cases: Sequence[Expanded], sweep: str) -> None:
    """Raise ValueError if a case's workload has `judged_by` in its YAML, which cannot be timed: no step of its run
    repeats another."""
    if judged_by_seed := [case for case in cases if "judged_by" in workload_definition(case.case.workload)]:
        raise ValueError(
            f"sweep must have no case of workload={judged_by_seed[0].case.workload}, whose runs are compared by seed "
            f"and not timed side by side (use suite compare A B --fail-on worse); got {sweep!r}"
        )


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The sorted dotted names of settings that differ, without those that `comparable` ignores."""
    return sorted(_differing(comparable(before), comparable(after), ""))


def _differing(before: Any, after: Any, name: str) -> list[str]:
    """The dotted names below `name` at which two nested values differ."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            inner_name
            for key in dict.fromkeys([*before, *after])
            for inner_name in _differing(before.get(key), after.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if before == after else [name]


def paired(before: Sequence[Expanded], after: Sequence[Expanded]) -> Paired:
    """Match the cases of two trees: equal ids first, then cases that agree in every axis that both have. A match that
    could be meant twice is none. An id that means another case in the older tree makes it redefined."""
    gone = {old.id: old for old in before}
    both, added = [], []
    for new in after:
        if new.id in gone:
            both.append((gone.pop(new.id), new))
        else:
            added.append(new)
    for new in [*added]:
        matches = [old for old in gone.values() if _agree(old.case, new.case)]
        rivals = [rival for rival in added if matches and _agree(matches[0].case, rival.case)]
        if len(matches) == len(rivals) == 1:  # what could be meant twice stays apart
            both.append((gone.pop(matches[0].id), new))
            added.remove(new)
    by_old_id = {old.old_id: old for old in gone.values() if old.old_id}
    redefined = [(gone.pop(by_old_id[new.id].id), new) for new in added if new.id in by_old_id]
    added = [new for new in added if new.id not in by_old_id]
    return Paired(both=both, redefined=redefined, gone=list(gone.values()), added=added)


def _agree(old: Case, new: Case) -> bool:
    old_axes, new_axes = _axes(old).items(), _axes(new).items()
    return old_axes <= new_axes or new_axes <= old_axes


def _axes(case: Case) -> dict[str, Any]:
    return {"workload": case.workload, **case.axes, **case.extras}


def command_line(case: Case, chosen: Sequence[str] = ()) -> list[str]:
    """The arguments by which Hydra composes this one case, for a tree whose sweep lacks it. `chosen`: the user's
    settings, of which those that begin with `hydra.` are repeated: they say where Hydra looks for groups."""
    hydra = [setting for setting in chosen if setting.startswith("hydra.")]
    return ["-m", *hydra, *(f"{name}={_quoted(value)}" for name, value in _axes(case).items() if value is not None)]


def _quoted(value: Any) -> str:
    """Write a value for Hydra's command line; a text in quotes, so that `12`, `null` and `1e5` stay texts. Within
    quotes Hydra reads a backslash as itself unless a quote follows."""
    if isinstance(value, str):
        escaped = BEFORE_A_QUOTE.sub(lambda match: 2 * match[1] + "\\'" * bool(match[2]), value)
        return f"'{escaped}'"
    return str(value).lower() if isinstance(value, bool) else str(value)
