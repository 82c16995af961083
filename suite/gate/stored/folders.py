"""Two folders of stored runs, judged against each other.

Exact quantities judge at once, on any machine. Times judge only where the surroundings match and enough runs are
stored, and runs of learning by pairs of one seed. Whatever is missing, damaged or was never compared is a verdict too,
since a run that is passed over in silence is a regression that nobody sees.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.gate.rules.acceptances import apply_file
from suite.gate.rules.multiple_testing import ALPHA, judge_together
from suite.gate.rules.tolerances import Tolerances, machine_kind
from suite.gate.stored.case import BASELINE, CANDIDATE, FEWEST_RUNS, Found, Run, broken_verdict, judge_case, side
from suite.gate.stored.seeds import by_arm, judge_arm
from suite.gate.verdict import Judgement, Side, Verdict
from suite.records.derived import started_at
from suite.records.record import Record
from suite.records.stores.store import Contents, Room, read_contents
from suite.statistics.paired import FEWEST_PAIRS


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs below a folder."""

    label: str
    exists: bool
    by_case: Mapping[str, Sequence[Run]]
    """Runs of each case, oldest first."""
    unreadable: Sequence[str]
    """A sentence for each folder that holds a damaged run or cannot be opened."""
    unfinished: Sequence[str]
    """Names of folders in which a run was begun and not ended."""


def judge_stored(
    baseline: Path,
    candidate: Path,
    *,
    tolerances: Tolerances,
    accepted: Path | None = None,
    today: datetime.date | None = None,
    inconclusive_fails: bool = False,
) -> Judgement:
    """Judge the runs below one folder by those below another. Nothing found in them raises.

    Below a folder lie any number of runs. Several of one case are repeats: of the candidate the newest and those of
    its run key count, of the baseline all of them are the spread. `accepted`: a file of acceptances.
    """
    room = Room()
    before, after = read_runs(baseline, room), read_runs(candidate, room)
    broken = list(_broken_folders(baseline, candidate, before, after))
    found = _found(before.by_case, after.by_case, tolerances) if before.by_case and after.by_case else []
    pairs = [pair for case in found for pair in case.pairs]
    if found and not pairs:
        broken.append(
            broken_verdict("nothing", "no case ran on both sides with a quantity to compare, so nothing was judged")
        )
    verdicts = [verdict for case in found for verdict in case.verdicts]
    verdicts += judge_together([quantity for case in found for quantity in case.tested], tolerances)
    verdicts, warnings = apply_file([*broken, *verdicts], accepted, today or datetime.date.today())
    unfinished = [
        f"{name} holds an unfinished run, which is not read" for name in (*before.unfinished, *after.unfinished)
    ]
    return Judgement(
        form="stored",
        before=_side(before.label, [old for old, _ in pairs]),
        after=_side(after.label, [new for _, new in pairs]),
        verdicts=verdicts,
        # As the first pair that has a difference shows it.
        differences={name: values for case in reversed(found) for name, values in case.differences.items()},
        warnings=[*unfinished, *warnings],
        facts=_facts([new for _, new in pairs], tolerances),
        inconclusive_fails=inconclusive_fails,
    )


def read_runs(root: Path, room: Room) -> Runs:
    """Read every run below a folder, as far as there is room. Nothing found there raises, nor its absence."""
    label = root.resolve().name

    def name(folder: Path) -> str:
        return "/".join((label, *folder.relative_to(root).parts))

    contents = read_contents([root], room=room) if root.is_dir() else Contents()
    by_case: dict[str, list[Run]] = {}
    for stored in sorted(contents.stored, key=lambda stored: (started_at(stored.record), stored.folder.name)):
        run = Run(record=stored.record, name=name(stored.folder))
        by_case.setdefault(run.record.case.id, []).append(run)
    return Runs(
        label=label,
        exists=root.is_dir(),
        by_case=by_case,
        unreadable=[f"{name(damage.folder)} cannot be read: {damage.reason}" for damage in contents.damaged],
        unfinished=[name(folder) for folder in contents.unfinished],
    )


def _found(
    before: Mapping[str, Sequence[Run]], after: Mapping[str, Sequence[Run]], tolerances: Tolerances
) -> list[Found]:
    """Judge each case; runs of learning by arm, since their seeds are its repeats."""
    (old, old_arms), (new, new_arms) = by_arm(before), by_arm(after)
    return [
        *(judge_case(case, old.get(case, ()), new.get(case, ()), tolerances) for case in dict.fromkeys([*old, *new])),
        *(
            judge_arm(arm, old_arms.get(arm, {}), new_arms.get(arm, {}), tolerances)
            for arm in dict.fromkeys([*old_arms, *new_arms])
        ),
    ]


def _broken_folders(baseline: Path, candidate: Path, before: Runs, after: Runs) -> Iterator[Verdict]:
    for role, runs in ((BASELINE, before), (CANDIDATE, after)):
        if not runs.by_case:
            lacks = "holds no run that can be read" if runs.exists else "is no folder"
            yield broken_verdict(role, f"missing {role}: {runs.label} {lacks}")
    old, new = baseline.resolve(), candidate.resolve()
    if old.is_relative_to(new) or new.is_relative_to(old):
        yield broken_verdict(CANDIDATE, "baseline and candidate overlap, so runs would be compared with themselves")
    for role, runs in ((BASELINE, before), (CANDIDATE, after)):
        for reason in runs.unreadable:
            yield broken_verdict(role, reason)


def _side(label: str, records: Sequence[Record]) -> Side:
    made_by = [record.provenance for record in records]
    return side(label, [str(by.get("commit") or "") for by in made_by], [by.get("dirty") is True for by in made_by])


def _facts(new: Sequence[Record], tolerances: Tolerances) -> Mapping[str, Any]:
    """The circumstances of the judging. It started when the newest of the judged records was measured."""
    newest = max(new, key=started_at, default=None)
    threads = newest.settings.get("threads") if newest else None
    return {
        "started_at": started_at(newest) if newest else "",
        "floor": tolerances.default_minimum_effect,
        "target": tolerances.default_equivalence_margin,
        "alpha": ALPHA,
        "fewest_stored_runs": FEWEST_RUNS,
        "fewest_seeds": FEWEST_PAIRS,
        "machine": machine_kind(newest.environment, threads if isinstance(threads, int) else 1) if newest else "",
        "machine_id": str(newest.environment.get("machine_id") or "") if newest else "",
    }
