"""Two revisions on this machine, now: built and examined side by side, then timed until each case is decided.

A case is judged if each revision holds a module that its settings name code of. Otherwise installed code would be
compared with itself, and found to be the same.
"""

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suite.gate.arm import Arm, ArmError, FailedError, UnsupportedHereError
from suite.gate.contest import NAMES, Contender, Contest, Say, Sides
from suite.gate.decision import METRIC
from suite.gate.exact import Exact, judge_exact
from suite.gate.pairing import Expanded, changed_settings, check_can_be_timed, command_of, expanded_from, paired
from suite.gate.revisions import Tree
from suite.gate.rounds import AFTER, BEFORE, SAMPLES, SURROUNDINGS, Benchmark
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Judgement, Outcome, Verdict
from suite.records.metrics import METRICS

Built = Mapping[str, Any] | Exception
Code = Mapping[str, str | None]
"""As a worker tells it: modules, each with its file in the tree; None for one that lies elsewhere."""


@dataclass(kw_only=True)
class Comparison:
    """What is known so far, so that an interruption loses nothing of it."""

    before: Tree
    after: Tree
    sweep: str
    chosen: Sequence[str]
    """Settings of the command line, as `key=value`."""
    seconds: float
    tolerances: Tolerances
    folder: Path
    """For what the workers print."""
    verdicts: list[Verdict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)
    """By case, what of the two revisions it runs."""
    installed: set[str] = field(default_factory=set)
    """Modules that cases name and that do not lie in both revisions."""
    compared: bool = False
    """Whether any quantity of any case was there on both sides to be compared."""
    contest: Contest | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def run(self, say: Say) -> None:
        """Raises ValueError where the newer tree refuses the command line, ArmError where a worker does not start."""
        sides = Sides(
            trees=(self.before.folder, self.after.folder),
            worker=worker_of(self.after.folder),
            complaints=self.folder,
        )
        self._compare_requirements()
        with sides.launched() as arms:
            contenders = self._contenders(arms)
            if not contenders and self.verdicts and all(one.outcome is Outcome.UNJUDGED for one in self.verdicts):
                self.verdicts = [self._of_none()]
                return
            timed = self._examined(sides, arms, contenders)
            if self.verdicts and not self.compared:  # as where each case is unsupported on both sides
                reason = "no case ran on both sides with a quantity to compare, so nothing was judged"
                self.verdicts.append(Verdict(case="nothing", outcome=Outcome.BROKEN, reason=reason))
            say(_told(self.verdicts))
            self.contest = Contest(
                sides=sides,
                contenders=contenders,
                benchmarks=timed,
                tolerances=self.tolerances,
                seconds=self.seconds,
            )
            say(f"timing: {len(timed)} in at most {self.seconds:g} s of measuring")
            if all(arm.is_alive for arm in arms):
                self.contest.launch(arms, say)
        self.contest.run(say)

    def judgement(self, *, inconclusive_fails: bool, interrupted: bool) -> Judgement:
        """Whatever has been found by now."""
        contest = self.contest
        rounds = contest.rounds if contest else None
        timed = contest.verdicts() if contest else []
        return Judgement(
            form="against",
            before=self.before.side,
            after=self.after.side,
            verdicts=[replace(one, code=self.code.get(one.case, "")) for one in (*self.verdicts, *timed)],
            warnings=self.warnings,
            facts={
                "started_at": self.started_at.isoformat(timespec="seconds"),
                "sweep": self.sweep,
                "chosen": list(self.chosen),
                "code": ", ".join(dict.fromkeys(self.code.values())),
                "seconds": rounds.measured_s if rounds else 0.0,
                "most_seconds": self.seconds,
                "launches": rounds.launches if rounds else 0,
                "floor": self.tolerances.default_floor,
                "target": self.tolerances.default_target,
                "clock": ", ".join(sorted({verdict.clock for verdict in timed if verdict.clock})),
            },
            inconclusive_fails=inconclusive_fails,
            interrupted=interrupted,
        )

    def tables(self) -> dict[str, bytes]:
        """Every sample and what went on beside it, as files by name."""
        if self.contest is None or not self.contest.rounds.samples:
            return {}
        rounds = self.contest.rounds
        return {
            SAMPLES.name: SAMPLES.content(rounds.samples),
            SURROUNDINGS.name: SURROUNDINGS.content(rounds.surroundings),
        }

    def _contenders(self, arms: Sequence[Arm]) -> list[Contender]:
        """Cases that both trees have. What only one has gets its verdict here."""
        for arm in arms:
            arm.begin("expand", arguments=["-m", f"sweep={self.sweep}", *self.chosen])
        try:
            after = expanded_from(arms[AFTER].answer())
        except FailedError as error:
            raise ValueError(f"sweep={self.sweep} cannot be composed: {error}") from error
        check_can_be_timed(after, self.sweep)
        try:
            before = expanded_from(arms[BEFORE].answer())
        except FailedError as error:
            before = []
            self.warnings.append(
                f"the revision before cannot compose sweep={self.sweep}, so not seen is what it lost: {error}"
            )
        found = paired(before, after)
        self.verdicts += [
            Verdict(case=one.id, outcome=Outcome.MISSING, reason="a case of the sweep before, and none now")
            for one in found.gone
        ]
        self.verdicts += [
            Verdict(
                case=new.id,
                outcome=Outcome.INCOMPARABLE,
                reason=f"settings changed: {_meant(old)}",
            )
            for old, new in found.redefined
        ]
        both = [*found.both, *self._asked_for(arms, found.added)]
        return [
            Contender(id=new.id, settings=(old.settings, new.settings))
            for old, new in both
            if self._is_held(new.id, old.code, new.code)
        ]

    def _is_held(self, case: str, old: Code, new: Code) -> bool:
        """Return whether both revisions hold what the case runs; where one does not, note that as its verdict."""
        self.installed |= {name for code in (old, new) for name in _held(code)[1]}
        if unheld := _unheld(case, old, new):
            self.verdicts.append(unheld)
            self.code.pop(case, None)
            return False
        self.code[case] = _told_code(old, new)
        return True

    def _of_none(self) -> Verdict:
        """The refusal of a sweep of which nothing lies in the revisions."""
        reason = (
            f"no case of sweep={self.sweep} runs code that the two revisions hold at their top or in src/, but what is "
            f"installed here, {_listed(self.installed)}: choose cases that do, as by --set attention=NAME or --sweep "
            "NAME"
        )
        return Verdict(case="every case", outcome=Outcome.BROKEN, reason=reason)

    def _asked_for(self, arms: Sequence[Arm], added: Sequence[Expanded]) -> list[tuple[Expanded, Expanded]]:
        """Those of the newer tree's cases that the older one can compose, though its sweep lacks them."""
        pairs = []
        for one in added:
            try:
                (old,) = expanded_from(arms[BEFORE].ask("expand", arguments=command_of(one.case, self.chosen)))
                if old.called:
                    self.verdicts.append(Verdict(case=one.id, outcome=Outcome.NEW, reason=_meant(old)))
                else:
                    pairs.append((old, one))
            except FailedError as error:
                reason = f"the revision before cannot compose it: {error}"
                self.verdicts.append(Verdict(case=one.id, outcome=Outcome.NEW, reason=reason))
        return pairs

    def _examined(self, sides: Sides, arms: Sequence[Arm], contenders: Sequence[Contender]) -> list[Benchmark]:
        """What is to be timed. A case that takes a worker down is broken; the rest go on in another."""
        benchmarks: list[Benchmark] = []
        for index, one in enumerate(contenders):
            try:
                benchmarks += self._examine(sides, arms, one)
            except ArmError as error:
                self.verdicts.append(Verdict(case=one.id, outcome=Outcome.BROKEN, reason=str(error)))
                with sides.launched() as others:
                    return benchmarks + self._examined(sides, others, contenders[index + 1 :])
        return benchmarks

    def _examine(self, sides: Sides, arms: Sequence[Arm], one: Contender) -> list[Benchmark]:
        """Verdicts on what needs no clock; the spans that are then to be timed."""
        built = [_built(sides, arms, one, side) for side in (BEFORE, AFTER)]
        old, new = built
        if isinstance(old, Exception) or isinstance(new, Exception):
            self.verdicts.append(_unbuilt(one.id, old, new))
            return []
        if not self._is_held(one.id, old["code"], new["code"]):  # as a package may import another than was found
            return []
        exact = judge_exact(one.id, _exact(old), _exact(new), self.tolerances)
        if not exact and not old["spans"] and not new["spans"]:
            reason = "neither side holds anything that can be judged"
            self.verdicts.append(Verdict(case=one.id, outcome=Outcome.BROKEN, reason=reason))
            return []
        self.compared = True
        self.verdicts += exact
        if changed := changed_settings(*one.settings):
            reason = f"settings changed, so the times are of two different things: {', '.join(changed)}"
            self.verdicts.append(Verdict(case=one.id, metric=METRIC, outcome=Outcome.INCOMPARABLE, reason=reason))
            return []
        if not old["spans"] and not new["spans"] and new["clock"] is not None:
            reason = "no part of it can be repeated by itself, so its time is not judged"
            self.verdicts.append(Verdict(case=one.id, metric=METRIC, outcome=Outcome.INCONCLUSIVE, reason=reason))
        for span in old["spans"]:
            if span not in new["spans"]:
                self.verdicts.append(
                    Verdict(case=one.id, span=span, outcome=Outcome.MISSING, reason="was timed before, and is not now")
                )
        return [Benchmark(case=one.id, span=span, clock=new["clock"]) for span in new["spans"] if span in old["spans"]]

    def _compare_requirements(self) -> None:
        required = [_requirements(tree.folder) for tree in (self.before, self.after)]
        if required[BEFORE] != required[AFTER]:
            self.warnings.append(
                "the dependencies in pyproject.toml differ, and both revisions run with the packages installed here"
            )


def _built(sides: Sides, arms: Sequence[Arm], one: Contender, side: int) -> Built:
    """What a side says of a case, or why it says nothing."""
    try:
        return sides.build(arms, one, side, examine=True)
    except (FailedError, UnsupportedHereError) as error:
        return error
    except ArmError as error:
        raise ArmError(f"{NAMES[side]}: {error}") from error


def _unbuilt(case: str, old: Built, new: Built) -> Verdict:
    """A case that at least one side could not build."""
    if isinstance(new, FailedError):
        return Verdict(case=case, outcome=Outcome.BROKEN, reason=f"fails now: {new}")
    if isinstance(new, UnsupportedHereError):
        if isinstance(old, UnsupportedHereError):
            return Verdict(case=case, outcome=Outcome.SAME, reason=f"unsupported on both sides: {new}")
        return Verdict(case=case, outcome=Outcome.MISSING, reason=f"ran before, and now is unsupported: {new}")
    return Verdict(case=case, outcome=Outcome.NEW, reason=f"runs now, and before did not: {old}")


def worker_of(tree: Path) -> Path:
    """The script that a tree brings, or the installed one."""
    in_tree = tree / "suite" / "gate" / "worker.py"
    return in_tree if in_tree.exists() else Path(__file__).with_name("worker.py")


def _unheld(case: str, old: Code, new: Code) -> Verdict | None:
    """The verdict on a case of which what is installed would run in the place of a revision's code, if it is one."""
    (held_before, others_before), (held_now, others_now) = map(_held, (old, new))
    if lost := held_before & others_now:
        reason = f"{_listed(lost)} lay in the revision before, and now what is installed here would run"
        return Verdict(case=case, outcome=Outcome.MISSING, reason=reason)
    if gained := held_now & others_before:
        reason = f"{_listed(gained)} did not lie in the revision before, where what is installed here would run"
        return Verdict(case=case, outcome=Outcome.NEW, reason=reason)
    if not held_before or not held_now:
        others = others_before | others_now
        reason = f"it runs what is installed here, {_listed(others)}, and no code of the revisions"
        return Verdict(case=case, outcome=Outcome.UNJUDGED, reason=reason)
    return None


def _held(code: Code) -> tuple[set[str], set[str]]:
    """Modules that lie in the tree, and those that do not."""
    held = {module for module, file in code.items() if file is not None}
    return held, code.keys() - held


def _told_code(old: Code, new: Code) -> str:
    """`normed (src/normed/__init__.py)`, with both files where it moved."""
    files: dict[str, list[str]] = {}
    for name, file in (*old.items(), *new.items()):
        files.setdefault(name, []).extend([file] if file else [])
    return ", ".join(f"{name} ({' → '.join(dict.fromkeys(found))})" for name, found in files.items() if found)


def _listed(modules: set[str]) -> str:
    return ", ".join(sorted(modules))


def _exact(built: Mapping[str, Any]) -> Exact:
    exact = {
        span: {name: value for name, value in of_span.items() if name in METRICS and METRICS[name].exact}
        for span, of_span in built["readings"].items()
    }
    return Exact(readings=exact, operators=built["operators"])


def _meant(old: Expanded) -> str:
    """Say that an older revision means another case by a name."""
    return f"the revision before means another case by this name, which is now called {old.id}"


def _told(verdicts: Sequence[Verdict]) -> str:
    judged = [one for one in verdicts if one.outcome is not Outcome.UNJUDGED]
    worse = [one for one in judged if one.outcome not in (Outcome.SAME, Outcome.NEW, Outcome.FASTER)]
    cases = len({one.case for one in judged})
    said = f"{len(worse)} to report" if worse else "nothing changed for the worse"
    return f"exact quantities, memory and operators of {cases} cases, before any timing: {said}"


def _requirements(tree: Path) -> Any:
    with suppress(OSError, tomllib.TOMLDecodeError):
        return (
            tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8")).get("project", {}).get("dependencies")
        )
    return None
