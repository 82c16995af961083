"""Judgements of the gate below a results folder: the newest is shown whole, older ones by a line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.gate.output.files import JUDGEMENT, read_judgement
from suite.gate.verdict import CorruptJudgementError, Judgement
from suite.records.derived import possible_time
from suite.records.store import Room
from suite.records.walk import Damage, folders_below


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One judgement and where it lay."""

    label: str
    folder: Path
    judgement: Judgement

    @property
    def at(self) -> str:
        """Return when it began, as ISO text; empty where it does not say, or says what cannot be."""
        return possible_time(self.judgement.facts.get("started_at"))


def find_judgements(label: str, root: Path, room: Room) -> tuple[list[Judged], list[Damage]]:
    """Find every judgement below a folder, the newest first, and those that could not be read.

    Links are not followed; folders that cannot be listed are named by whoever looks for runs there.
    """
    found, damaged = [], []
    for folder in sorted(folder for folder, names in folders_below(root, []) if JUDGEMENT in names):
        try:
            found.append(Judged(label=label, folder=folder, judgement=read_judgement(folder, room)))
        except CorruptJudgementError as error:
            damaged.append(Damage(folder=folder, reason=str(error)))
    return sorted(found, key=lambda one: (one.at, one.folder.name), reverse=True), damaged


def newest(judgements: Sequence[Judged]) -> list[Judged]:
    """Return the newest of each label, in the labels' order."""
    labels = dict.fromkeys(judged.label for judged in judgements)
    return [next(judged for judged in judgements if judged.label == label) for label in labels]
