"""The match of cases between two trees.

Two cases match if their ids are equal, or, where one tree has an axis more than the other, if they agree in every axis
that both have.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.gate.rules.fingerprint import is_judged_by_seed
from suite.gate.side_by_side.answers import BadAnswerError, checked_cases
from suite.records.case import Case

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
    """The cases of a worker's answer to `expand`. Raises BadAnswerError for what no case can be."""
    expanded = []
    for content in checked_cases(answer):
        settings = content["settings"]
        in_its_tree = Case(workload=content["workload"], axes=content["axes"], extras=content["extras"])
        try:
            case = in_its_tree.today(settings)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise BadAnswerError(f"the worker's answer to `expand` has a case that cannot be: {error}") from error
        old_id = None if case.id == in_its_tree.id else in_its_tree.id
        expanded.append(Expanded(case=case, settings=settings, code=content["code"], old_id=old_id))
    return expanded


def check_can_be_timed(cases: Sequence[Expanded], sweep: str) -> None:
    """Raise ValueError for a workload that is judged by seed: no step of a run repeats another."""
    if judged_by_seed := [case.case.workload for case in cases if is_judged_by_seed(case.case.workload)]:
        raise ValueError(
            f"sweep must have no case of workload={judged_by_seed[0]}, which is judged by stored records of paired "
            f"seeds (suite gate --baseline FOLDER --candidate FOLDER) and not side by side; got {sweep!r}"
        )


def paired(before: Sequence[Expanded], after: Sequence[Expanded]) -> Paired:
    """Sort every case: in both trees, in both with another meaning, only before, or only after."""
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
    """Whether all axes of one case stand in the other with the same values."""
    old_axes, new_axes = _axes(old).items(), _axes(new).items()
    return old_axes <= new_axes or new_axes <= old_axes


def _axes(case: Case) -> dict[str, Any]:
    return {"workload": case.workload, **case.axes, **case.extras}


def command_line(case: Case, chosen: Sequence[str] = ()) -> list[str]:
    """The case as a command line that Hydra reads, for a tree whose sweep does not have it.

    `chosen`: settings of the command line that compared the trees. Those of Hydra, such as where it looks for groups,
    are in no case, and are needed here too.
    """
    hydra = [setting for setting in chosen if setting.startswith("hydra.")]
    return ["-m", *hydra, *(f"{name}={_quoted(value)}" for name, value in _axes(case).items() if value is not None)]


def _quoted(value: Any) -> str:
    """Put a text in quotes, so that `12`, `null` and `1e5` stay texts.

    Hydra reads a backslash in them as itself unless a quote follows.
    """
    if isinstance(value, str):
        escaped = BEFORE_A_QUOTE.sub(lambda match: 2 * match[1] + "\\'" * bool(match[2]), value)
        return f"'{escaped}'"
    return str(value).lower() if isinstance(value, bool) else str(value)
