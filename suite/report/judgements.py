"""Judgements of the gate below a results folder: the newest is shown whole, older ones by a line each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.gate.files import JUDGEMENT, read_judgement
from suite.gate.verdict import CorruptJudgementError, Judgement
from suite.records.store import Damage


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One judgement and where it lay."""

    label: str
    folder: Path
    judgement: Judgement

    @property
    def at(self) -> str:
        """When it began, as ISO text that is not yet fit to show; empty where it does not say."""
        said = self.judgement.facts.get("started_at")
        return said if isinstance(said, str) else ""


def find_judgements(label: str, root: Path) -> tuple[list[Judged], list[Damage]]:
    """Every judgement below a folder, the newest first, and what could not be read. Links are not followed."""
    found, damaged = [], []
    for folder in sorted(Path(folder) for folder, _, files in os.walk(root) if JUDGEMENT in files):
        try:
            found.append(Judged(label=label, folder=folder, judgement=read_judgement(folder)))
        except CorruptJudgementError as error:
            damaged.append(Damage(folder=folder, reason=str(error)))
    return sorted(found, key=lambda one: (one.at, one.folder.name), reverse=True), damaged


def newest(judgements: Sequence[Judged]) -> list[Judged]:
    """The newest of each label, in the labels' order."""
    first: dict[str, Judged] = {}
    for one in judgements:
        first.setdefault(one.label, one)
    return list(first.values())
