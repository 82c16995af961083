"""Whether this machine's records agree with the reference records, claim by claim, in three ends.

Both verdicts are made of the cases that both sides have, so that model, length and dtype are equal. Only what is clear
on both sides can differ.
"""

from collections.abc import Iterator
from enum import StrEnum

from suite.report.answers.claims import ClaimVerdict, Standing, Verdicts, claims, sweeps_again, verdicts_on
from suite.report.blocks import Text, joined, say
from suite.report.evidence import lead_text
from suite.report.model.experiment import grouped
from suite.report.model.results import Results

UNDECIDED = {Standing.OPEN, Standing.UNDECIDED, Standing.UNTESTED, Standing.UNMEASURED}
# One end of each pair says less than the other, and nothing against it.
COMPATIBLE = (
    {Standing.SUPPORTED, Standing.MIXED},
    {Standing.EQUAL, Standing.BOUNDED},
    {Standing.CONTRADICTED, Standing.BOUNDED},
)


class End(StrEnum):
    """How the comparison of a claim with the reference records ends."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNTOLD = "untold"
    """It cannot be told from this machine's records."""


def compare_verdicts(ours: ClaimVerdict | None, theirs: ClaimVerdict | None) -> End:
    """Compare verdicts on a claim, of equal cases: part by part where a claim has several, such as a rival each.

    What the reference leaves open is passed over, and a claim that it leaves open altogether cannot be told.
    """
    if ours is None or theirs is None or not (ours.machine and ours.suffices and theirs.machine and theirs.suffices):
        return End.UNTOLD
    parts = theirs.parts or {"": theirs.outcome}
    our_parts = ours.parts or {"": ours.outcome}
    pairs = [(our_parts.get(name, Standing.OPEN), standing) for name, standing in parts.items()]
    pairs = [(here, there) for here, there in pairs if there not in UNDECIDED]
    unequal = [{here, there} for here, there in pairs if here != there]
    if any(not pair & UNDECIDED and pair not in COMPATIBLE for pair in unequal):
        return End.DIFFERS
    return End.UNTOLD if unequal or not pairs else End.AGREES


def reproduced(own: Results, others: Results, ours: Verdicts, theirs: Verdicts) -> Iterator[Text]:
    """Say how many claims agree, then which differ, and which cannot be told with the command that decides them.

    Claims count that both sides measured and that the others' records decide. `own` and `others`: the measured records
    of each side. `ours` and `theirs`: the verdicts on all records of each side. Nothing where no claim counts.
    """
    decided = {
        name: verdict for name, verdict in theirs.items() if verdict.suffices and verdict.outcome not in UNDECIDED
    }
    measured = [{name for name, v in side.items() if v.machine and not v.is_projected} for side in (ours, decided)]
    counted = {claim["id"]: claim for claim in claims() if all(claim["id"] in names for names in measured)}
    if not counted:
        return
    here, there = ({current.record.case.id for current in side.records} for side in (own, others))
    ours, theirs = (
        verdicts_on(side.narrowed(lambda _, record: record.case.id in here & there), *counted) for side in (own, others)
    )
    ends = {name: compare_verdicts(ours.get(name), theirs.get(name)) for name in counted}
    counts = {str(end): [*ends.values()].count(end) for end in End}
    yield say("answer.reproduced", total=len(ends), **counts)
    for name in (name for name, end in ends.items() if end is End.DIFFERS):
        words = {
            side: joined("list", [verdicts[name].word, lead_text(verdicts[name].lead)])
            for side, verdicts in (("here", ours), ("there", theirs))
        }
        yield say("own.differs", claim=say(f"claim.{name}"), **words)
    untold = [claim for name, claim in counted.items() if ends[name] is End.UNTOLD]
    minutes = {sweep["sweep"]: sweep["minutes"] for sweep in sweeps_again()}
    by_sweep = grouped(untold, lambda claim: next(name for name in claim["sweeps"] if name in minutes))
    for sweep, in_sweep in by_sweep.items():
        names = joined("sentence", [say(f"claim.{claim['id']}") for claim in in_sweep])
        yield say("own.untold", claims=names, command=f"suite demo --sweep {sweep}", minutes=minutes[sweep])
