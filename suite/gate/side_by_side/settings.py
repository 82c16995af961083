"""Settings by which a candidate is judged: the base revision's, so that a change cannot raise its own limits.

They are the tolerances, the acceptances, the sweep, and the judge itself where the one that runs lies in the checkout
that it judges. What differs in any of them between the two revisions is named, and nothing is passed
until somebody has said that the candidate's are meant.
"""

import filecmp
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from suite.gate.output.sentences import SETTINGS, first_of
from suite.gate.rules.acceptances import ACCEPTED
from suite.gate.verdict import Outcome, Verdict

TOLERANCES, JUDGE = Path("conf/gate.yaml"), Path("suite/gate")
OPTION = "--trust-candidate-settings"
MOST_NAMED = 12


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The files that judge, and what differs in them."""

    folder: Path
    """The tree that they are read from."""
    differing: tuple[str, ...]
    """Each file that differs between the two revisions, with its role and how it differs."""
    is_trusted: bool
    """True if somebody said that the candidate's are meant."""

    @property
    def tolerances(self) -> Path | None:
        """The tree's conf/gate.yaml; None if the tree does not hold the suite, so that the installed suite's counts."""
        path = self.folder / TOLERANCES
        return path if path.exists() and (self.folder / JUDGE).is_dir() else None

    @property
    def accepted(self) -> Path:
        """The path of the acceptances, which need not exist."""
        return self.folder / ACCEPTED

    def warnings(self, checkout: Path) -> Iterator[str]:
        """Yield a sentence if changed settings are trusted, and one if the checkout's acceptances are not used."""
        if self.is_trusted and self.differing:
            yield f"{OPTION} is set, so the working tree's settings judge it: {first_of(self.differing, MOST_NAMED)}"
        if (checkout / ACCEPTED).exists() and not self.accepted.exists():
            yield f"{ACCEPTED.as_posix()} of the checkout is not in the revision that judges, so it accepts nothing"

    def verdicts(self) -> list[Verdict]:
        """One incomparable verdict if settings differ and are not trusted, else none."""
        if self.is_trusted or not self.differing:
            return []
        differing = first_of(self.differing, MOST_NAMED)
        reason = f"this change alters files that judge it: {differing}; review them, then pass {OPTION}"
        return [Verdict(case=SETTINGS, outcome=Outcome.INCOMPARABLE, reason=reason)]


def settings_of(before: Path, after: Path, checkout: Path, sweep: str | None, *, is_trusted: bool) -> Settings:
    """Compare the files that judge in two trees, the newer one a copy of the checkout, and choose the tree that judges.
    `is_trusted`: the newer tree judges, else the older one. `sweep`: the named sweep, whose YAML counts too."""
    trees = (before, after)
    differing = []
    # The sweep may lie in any package's conf/, as that of a variant; a judge only where the one that runs does.
    for about, names in (
        ("tolerances", {TOLERANCES} if any((tree / JUDGE).is_dir() for tree in trees) else ()),
        ("acceptances", {ACCEPTED}),
        ("the sweep", _found(trees, f"**/sweep/{escape(sweep)}.yaml") if sweep else ()),
        ("the judge", _judge_files(trees, checkout.resolve())),
    ):
        for name in sorted(names):
            if how := _difference(*(tree / name for tree in trees)):
                differing.append(f"{name.as_posix()} ({about}, {how})")
    return Settings(folder=trees[is_trusted], differing=tuple(differing), is_trusted=is_trusted)


def _found(trees: Iterable[Path], pattern: str) -> set[Path]:
    return {path.relative_to(tree) for tree in trees for path in tree.glob(pattern)}


def _judge_files(trees: Iterable[Path], checkout: Path) -> set[Path]:
    """Relative paths of the running judge, if it is the checkout's: the gate and every imported module."""
    # Whatever of the suite was imported to judge could change the verdict, not the gate's own folder alone.
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "suite"]
    files = {Path(file).resolve() for module in modules if (file := getattr(module, "__file__", None))}
    running = {file.relative_to(checkout) for file in files if file.is_relative_to(checkout)}
    return running | _found(trees, f"{JUDGE}/**/*.py") if running else set()


def _difference(before: Path, after: Path) -> str:
    """`changed`, `removed` or `added`; empty if the files have the same content or neither exists."""
    was_there, is_there = before.is_file(), after.is_file()
    if was_there and is_there:
        return "" if filecmp.cmp(before, after, shallow=False) else "changed"
    return "removed" if was_there else "added" if is_there else ""
