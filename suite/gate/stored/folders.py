"""Two folders of stored runs, judged against each other.

Exact quantities judge at once, on any machine. Times judge only where the surroundings match and enough runs are
stored, and runs of learning by pairs of one seed. Whatever is missing, damaged or was never compared is a verdict too,
since a run that is passed over in silence is a regression that nobody sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.gate.rules.tolerances import Tolerances, machine_kind
from suite.gate.stored.case import (
    BASELINE,
    CANDIDATE,
    OVERLAPPING,
    StoredRun,
    broken_verdict,
    judge_case,
    side,
    stored_judgement,
)
from suite.gate.stored.seed_arms import by_arm, judge_arm
from suite.gate.verdict import Judgement, Side, Verdict
from suite.records.derived import started_at
from suite.records.record import Record
from suite.records.stores.store import Contents, read_contents
from suite.statistics.paired import FEWEST_PAIRS


@dataclass(frozen=True, kw_only=True)
class StoredRuns:
    """The runs below a folder."""

    label: str
    by_case: Mapping[str, Sequence[StoredRun]]
    """Runs of each case, oldest first."""
    broken: Sequence[Verdict]
    """One for each folder that holds a damaged run or cannot be opened, and one where there is no run at all."""
    warnings: Sequence[str]
    """A sentence for each folder in which a run was begun and not ended."""


def judge_stored(baseline: Path, candidate: Path, *, tolerances: Tolerances, **rules: Any) -> Judgement:
    """Judge the records below `candidate` by those below `baseline`. A damaged or missing run becomes a verdict.
    Several runs of one case are repeats: of the candidate the newest and those of its run key count, and those of the
    baseline show the spread. `rules`: as `stored_judgement` takes them."""
    before, after = read_runs(BASELINE, baseline), read_runs(CANDIDATE, candidate)
    judged = []
    if before.by_case and after.by_case:
        (old, old_arms), (new, new_arms) = by_arm(before.by_case), by_arm(after.by_case)
        judged = [
            judge_case(case, old.get(case, ()), new.get(case, ()), tolerances) for case in dict.fromkeys([*old, *new])
        ]
        for arm in dict.fromkeys([*old_arms, *new_arms]):
            judged.append(judge_arm(arm, old_arms.get(arm, {}), new_arms.get(arm, {}), tolerances))
    pairs = [pair for case in judged for pair in case.pairs]
    broken = [*before.broken, *after.broken]
    tops = baseline.resolve(), candidate.resolve()
    if tops[0].is_relative_to(tops[1]) or tops[1].is_relative_to(tops[0]):
        broken.append(broken_verdict(CANDIDATE, OVERLAPPING))
    if judged and not pairs:
        reason = "no case ran on both sides with a quantity to compare, so nothing was judged"
        broken.append(broken_verdict("nothing", reason))
    newest = max((new for _, new in pairs), key=started_at, default=None)
    threads = newest.settings.get("threads") if newest else None
    return stored_judgement(
        _side(before.label, [old for old, _ in pairs]),
        _side(after.label, [new for _, new in pairs]),
        [*broken, *(verdict for case in judged for verdict in case.verdicts)],
        [change for case in judged for change in case.tested],
        # As the first pair that has a difference shows it.
        differences={name: values for case in reversed(judged) for name, values in case.differences.items()},
        warnings=[*before.warnings, *after.warnings],
        facts={
            # It started when the newest of the judged records was measured.
            "started_at": started_at(newest) if newest else "",
            "fewest_seeds": FEWEST_PAIRS,
            "machine": machine_kind(newest.environment, threads if isinstance(threads, int) else 1) if newest else "",
            "machine_id": str(newest.environment.get("machine_id") or "") if newest else "",
        },
        tolerances=tolerances,
        **rules,
    )


def read_runs(role: str, root: Path) -> StoredRuns:
    """Read every run below a folder, by case. A damaged or missing folder becomes a verdict.
    `role`: BASELINE or CANDIDATE, the case of such verdicts."""
    label = root.resolve().name  # of `.` too

    def name(folder: Path) -> str:
        """The path of a run's folder, from the name of the one that was given."""
        return "/".join((label, *folder.relative_to(root).parts))

    contents = read_contents([root]) if root.is_dir() else Contents()
    by_case: dict[str, list[StoredRun]] = {}
    for stored in sorted(contents.stored, key=lambda stored: (started_at(stored.record), stored.folder.name)):
        run = StoredRun(record=stored.record, name=name(stored.folder))
        by_case.setdefault(run.record.case.id, []).append(run)
    lack = "holds no run that can be read" if root.is_dir() else "is not a folder"
    reasons = [] if by_case else [f"missing {role}: {label} {lack}"]
    reasons += [f"{name(damage.folder)} cannot be read: {damage.reason}" for damage in contents.damaged]
    return StoredRuns(
        label=label,
        by_case=by_case,
        broken=[broken_verdict(role, reason) for reason in reasons],
        warnings=[f"{name(folder)} holds an unfinished run, which is not read" for folder in contents.unfinished],
    )


def _side(label: str, records: Sequence[Record]) -> Side:
    """A side with the commit that its records share, if any, and whether any was made with uncommitted changes."""
    made_by = [record.provenance for record in records]
    return side(label, [str(by.get("commit") or "") for by in made_by], [by.get("dirty") is True for by in made_by])
