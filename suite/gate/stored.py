"""The gate against stored records: what two folders of runs say of each other.

Exact quantities judge at once, on any machine. Times judge only where the surroundings match and enough runs are
stored, and runs of learning by pairs of one seed. Whatever is missing, damaged or was never compared is a
verdict too, so that nothing is green by absence.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.gate.acceptances import apply_file
from suite.gate.family import ALPHA, judge_together
from suite.gate.noise import machine_kind
from suite.gate.runs import Run, Runs, read_runs
from suite.gate.seeds import by_arm, judge_arm
from suite.gate.stored_case import BASELINE, CANDIDATE, Found, judge_case
from suite.gate.stored_times import FEWEST_RUNS
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Judgement, Outcome, Side, Verdict
from suite.records.derived import started_at
from suite.records.record import Record
from suite.records.store import Room
from suite.statistics.paired import FEWEST_PAIRS


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
    broken = [*_not_comparable(baseline, candidate, before, after), *_unreadable(before, after)]
    found = _found(before.by_case, after.by_case, tolerances) if before.by_case and after.by_case else []
    if found and not any(one.pairs for one in found):
        broken.append(_broken("nothing", "no case ran on both sides with a quantity to compare, so nothing was judged"))
    verdicts = [verdict for one in found for verdict in one.verdicts]
    verdicts += judge_together([tested for one in found for tested in one.tested], tolerances)
    verdicts, warnings = apply_file([*broken, *verdicts], accepted, today or datetime.date.today())
    pairs = [pair for one in found for pair in one.pairs]
    return Judgement(
        form="stored",
        before=_side(before.label, [stored for stored, _ in pairs]),
        after=_side(after.label, [new for _, new in pairs]),
        verdicts=verdicts,
        differences=_shown(found),
        warnings=[*_passed_over(before), *_passed_over(after), *warnings],
        facts=_facts([new for _, new in pairs], tolerances),
        inconclusive_fails=inconclusive_fails,
    )


def _found(
    before: Mapping[str, Sequence[Run]], after: Mapping[str, Sequence[Run]], tolerances: Tolerances
) -> list[Found]:
    """By case; runs of learning by arm, since their seeds are its repeats."""
    (old, old_arms), (new, new_arms) = by_arm(before), by_arm(after)
    return [
        *(judge_case(one, old.get(one, ()), new.get(one, ()), tolerances) for one in dict.fromkeys([*old, *new])),
        *(
            judge_arm(arm, old_arms.get(arm, {}), new_arms.get(arm, {}), tolerances)
            for arm in dict.fromkeys([*old_arms, *new_arms])
        ),
    ]


def _not_comparable(baseline: Path, candidate: Path, before: Runs, after: Runs) -> Iterator[Verdict]:
    for role, side in ((BASELINE, before), (CANDIDATE, after)):
        if not side.by_case:
            lacks = "holds no run that can be read" if side.exists else "is no folder"
            yield _broken(role, f"missing {role}: {side.label} {lacks}")
    one, other = baseline.resolve(), candidate.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        yield _broken(CANDIDATE, "baseline and candidate overlap, so runs would be compared with themselves")


def _unreadable(before: Runs, after: Runs) -> Iterator[Verdict]:
    for role, side in ((BASELINE, before), (CANDIDATE, after)):
        for said in side.unreadable:
            yield _broken(role, said)


def _broken(of: str, reason: str) -> Verdict:
    return Verdict(case=of, outcome=Outcome.BROKEN, reason=reason)


def _passed_over(side: Runs) -> list[str]:
    return [f"{name} holds an unfinished run, which is not read" for name in side.unfinished]


def _side(label: str, records: Sequence[Record]) -> Side:
    """With the commit where all of them are of one."""
    commits = {str(record.provenance.get("commit") or "") for record in records}
    return Side(
        label=label,
        commit=(commits.pop() or None) if len(commits) == 1 else None,
        dirty=any(record.provenance.get("dirty") is True for record in records),
    )


def _shown(found: Sequence[Found]) -> dict[str, Sequence[Any]]:
    """What differs in any pair's surroundings, as the first of them shows it."""
    return {name: values for one in reversed(found) for name, values in one.shown.items()}


def _facts(new: Sequence[Record], tolerances: Tolerances) -> Mapping[str, Any]:
    """How it was judged. It started when the newest of what was judged was measured."""
    newest = max(new, key=started_at, default=None)
    threads = newest.settings.get("threads") if newest else None
    return {
        "started_at": started_at(newest) if newest else "",
        "floor": tolerances.default_floor,
        "target": tolerances.default_target,
        "alpha": ALPHA,
        "fewest_stored_runs": FEWEST_RUNS,
        "fewest_seeds": FEWEST_PAIRS,
        "machine": machine_kind(newest.environment, threads if isinstance(threads, int) else 1) if newest else "",
    }
