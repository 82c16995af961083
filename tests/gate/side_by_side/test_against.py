"""Two revisions of somebody else's packages, one in `src/` and one flat, by the command line and the suite's worker.

Each is installed editable, as its user has it: an import finds the checkout's files unless a worker prefers its tree.
"""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from suite import __main__ as command_line
from suite.gate.output.files import JUDGEMENT, read_judgement
from suite.gate.rules.decision import Decisions
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side import revisions, timing
from suite.gate.side_by_side.against import RevisionComparison
from suite.gate.side_by_side.revisions import Revisions
from suite.gate.verdict import Outcome
from tests.gate.repositories import repository
from tests.test_foreign_variant import readmes_variant

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot"),
    pytest.mark.usefixtures("warm_workers"),
]

PACKAGE = """
import os
import time

import torch

from suite.measure.workload import IncorrectError, UnsupportedError
from suite.records.record import Reading

print("a package that greets whoever imports it")
os.write(1, b'and writes past Python')
TURNS, FLOPS, IS_OLD = {turns}, {flops}, {is_old}


class Plan:
    device, dtype, threads, refusal = "cpu", "float32", 1, None

    def __init__(self, settings):
        pass


class Workload:
    def __init__(self, settings):
        self.plan, self.settings = Plan(settings), settings

    def prepare(self):
        pass

    def constants(self):
        return [Reading(step=0, span="case", metric="flops", value=10.0)]

    def check(self):
        return []

    def step(self, meter):
        for name, work in self.parts().items():
            with meter.span(name):
                work()

    def parts(self):
        return {{}}


def failing(error, *, before, now):
    class Failing(Workload):
        def prepare(self):
            if before if IS_OLD else now:
                raise error

    return Failing


Raising = failing(RuntimeError("out of order"), before=False, now=True)
Mended = failing(RuntimeError("out of order"), before=True, now=False)
Unsupported = failing(UnsupportedError("there is no flux capacitor"), before=True, now=True)
Lost = failing(UnsupportedError("there is no flux capacitor"), before=False, now=True)


class Slower(Workload):
    def parts(self):
        return {{"a": lambda: sum(range(TURNS))}}


class Larger(Workload):
    def constants(self):
        return [Reading(step=0, span="case", metric="flops", value=FLOPS)]


class Incorrect(Workload):
    def check(self):
        yield Reading(step=0, span="case", metric="relative_error", value=0.5)
        if not IS_OLD:
            raise IncorrectError("the sum is off")


class Empty(Workload):
    def constants(self):
        return []


class Honest(Workload):
    # One part, which is all of a step. What follows is so before, and cheats now.

    def prepare(self):
        if not IS_OLD:
            self.cheat()

    def cheat(self):
        pass

    def parts(self):
        return {{"all": self.work}}

    def work(self):
        return sum(range(4000))


class Emptied(Honest):
    def step(self, meter):
        with meter.span("all"):
            self.work()

    def parts(self):
        return {{"all": self.work if IS_OLD else int}}


class Leftout(Emptied):
    def work(self):
        return torch.ones(1000).sum()

    def parts(self):
        return {{"all": self.work if IS_OLD else lambda: torch.ones(1000)}}


class Unnamed(Honest):
    def parts(self):
        return {{"all": self.work}} if IS_OLD else {{}}


class Skipping(Honest):
    # From its hundredth call on.
    calls = 0

    def is_lazy(self):
        type(self).calls += 1
        return self.calls > 100 and not IS_OLD

    def work(self):
        return None if self.is_lazy() else torch.ones(1000).sum()


class Forgetting(Skipping):
    def work(self):
        return 0 if self.is_lazy() else sum(range(4000))

    def check(self):
        if self.work() != 7998000:
            raise IncorrectError("the sum is off")
        return []


class Patching(Honest):
    def cheat(self):
        import json, statistics

        for clock in ("perf_counter", "thread_time", "process_time"):
            setattr(time, clock, lambda read=getattr(time, clock): read() / 10)
        statistics.median = min
        dumps = json.dumps
        json.dumps = lambda answer: dumps(answer | ({{"thread_cpu_s": 1e-6}} if "calls" in answer else {{}}))

    def work(self):
        return sum(range(4000 if IS_OLD else 40_000))


class Lying(Honest):
    # Takes the worker's place and tells a tenth of what it took.
    share = 0.1

    def cheat(self):
        import __main__

        honest = __main__.Built.sample

        def sample(built, span):
            answer = honest(built, span)
            if isinstance(built.workload, type(self)):
                answer |= {{name: self.share * answer[name] for name in answer if name.endswith("_s")}}
            return answer

        __main__.Built.sample = sample

    def work(self):
        return sum(range(20_000))


class Idling(Lying):
    # And works for longer than ten million operations take anywhere.
    share = 1e-3

    def work(self):
        return sum(range(40_000))

    def constants(self):
        return [Reading(step=0, span="all", metric="flops", value=1e7)]


class Sleeping(Honest):
    # As if a thread or a process worked for it.
    def work(self):
        return sum(range(20_000)) if IS_OLD else time.sleep(0.02)
"""
SWEEP = """
# @package _global_
hydra:
  sweeper:
    params:
      workload: {}
"""
BOTH = ("slower", "larger", "raising", "mended", "incorrect", "unsupported", "lost", "empty", "resized", "wider")
CHEATS = {
    "emptied": ("broken", "its timed part takes "),
    "leftout": ("broken", "its timed part no longer runs what a step runs: sum"),
    "unnamed": ("missing", "was timed before, but is not timed now"),
    "skipping": ("broken", "after: checked again: all ran fill_, ones, sum before the timing, and nothing after it"),
    "forgetting": ("broken", "after: checked again: IncorrectError: the sum is off"),
    "patching": ("slower", "slower by more than the "),
    "lying": ("broken", "after: the kernel counted "),
    "idling": ("broken", "no machine does the work of all in less than "),
    "sleeping": ("slower", "times as long by wall time, which the judging clock thread_cpu does not show"),
}
TARGETS = {"gone": "Workload", "asked": "Workload", "fresh": "Workload", "resized": "Workload", "wider": "Workload"}
LAUNCHES = 3
TO_FIND_IT = ("--set", "hydra.searchpath=[file://conf]", "--sweep", "some")


def tree(in_sweep, beside=(), *, is_old):
    """The package's files. Each case is a workload of its own."""
    return {
        "src/somebodys.py": PACKAGE.format(
            turns=8_000 if is_old else 20 * 8_000, flops=10 if is_old else 12, is_old=is_old
        ),
        "conf/sweep/some.yaml": SWEEP.format(",".join(in_sweep)),
        **{f"conf/workload/{name}.yaml": json.dumps(workload(name, is_old)) for name in (*in_sweep, *beside)},
    }


def workload(name, is_old):
    target = f"somebodys.{TARGETS.get(name, name.capitalize())}"
    axes = ["seq_len", "batch"] if name == "wider" and not is_old else ["seq_len"]
    size = 2 if name == "resized" and not is_old else 1
    return {"name": name, "_target_": target, "plan": "somebodys.Plan", "axes": axes, "uses": ["batch"], "size": size}


EDITABLE = """
import sys
from importlib.util import spec_from_file_location


class Finder:
    def find_spec(name, path=None, target=None):
        return spec_from_file_location(name, {file!r}) if name == "somebodys" else None


sys.meta_path.insert(0, Finder)  # before all others, as some build backends install theirs
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory, warm_workers):
    """Everything that may befall a case, in one run: what it came to, its exit code and what it printed."""
    folder = tmp_path_factory.mktemp("against")
    repo = repository(folder / "checkout")
    installed = folder / "installed"
    installed.mkdir()
    file = str(repo.folder / "src" / "somebodys.py")
    (installed / "sitecustomize.py").write_text(EDITABLE.format(file=file), encoding="utf-8")
    repo.commit(tree([*BOTH, *CHEATS, "gone"], ["asked"], is_old=True))
    repo.git("rm", "--quiet", "conf/workload/gone.yaml")
    repo.write(tree([*BOTH, *CHEATS, "asked", "fresh"], is_old=False))
    digest = repo.digest()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(repo.folder)
        patched.setenv("PYTHONPATH", str(installed), prepend=os.pathsep)
        # How many it must be has tests of its own, and each launch starts two workers that import torch.
        patched.setattr(Decisions, "launches_for_change", LAUNCHES)
        patched.setattr(timing, "SHARE", 1 / (LAUNCHES + 1))
        out = str(folder / "out")
        patched.setattr(
            sys, "argv", ["suite", "gate", "--against", "HEAD", *TO_FIND_IT, "--seconds", "3", "--out", out]
        )
        code = command_line.main()
    assert repo.digest() == digest
    assert json.loads((folder / "out" / JUDGEMENT).read_text())["exit_code"] == code
    return read_judgement(folder / "out")


def only(judged, name):
    """The judgement as if this had been the only case."""
    verdicts = [verdict for verdict in judged.verdicts if verdict.case.partition(" ")[0] == f"workload={name}"]
    assert verdicts
    return replace(judged, verdicts=verdicts)


@pytest.mark.parametrize(
    ("name", "outcomes", "said", "code"),
    [
        ("slower", {"slower", "same"}, "slower by more than the ", 1),
        ("larger", {"slower", "inconclusive"}, "rose", 1),
        ("gone", {"missing"}, "the sweep had this case before and has it no longer", 4),
        ("lost", {"missing"}, "but is unsupported now: there is no flux capacitor", 4),
        ("raising", {"broken"}, "fails now: RuntimeError: out of order", 4),
        ("incorrect", {"broken"}, "fails now: IncorrectError: the sum is off", 4),
        ("empty", {"broken"}, "neither side has a quantity that can be judged", 4),
        ("resized", {"same", "incomparable"}, "so the times cannot be compared: workload.size", 3),
        ("wider", {"same", "inconclusive"}, "no part of it can be repeated by itself", 0),
        ("asked", {"same", "inconclusive"}, "1 exact quantity is equal", 0),
        ("unsupported", {"same"}, "unsupported on both sides: there is no flux capacitor", 0),  # beside others
        ("mended", {"new"}, "runs now, but did not before: RuntimeError: out of order", 4),
        ("fresh", {"new"}, "the older revision cannot compose it", 4),
    ],
)
def test_each_case_gets_its_verdict_and_exit_code(judged, name, outcomes, said, code):
    judgement = only(judged, name)
    reasons = [verdict.reason for verdict in judgement.verdicts]
    assert {str(verdict.outcome) for verdict in judgement.verdicts} == outcomes
    assert any(said in reason for reason in reasons), reasons
    assert judgement.exit_code == code


@pytest.mark.parametrize(("name", "outcome", "said"), [(name, *verdict) for name, verdict in CHEATS.items()])
def test_a_candidate_that_cheats_is_never_green(judged, name, outcome, said):
    verdicts = only(judged, name).verdicts
    assert any(str(verdict.outcome) == outcome and said in verdict.reason for verdict in verdicts), verdicts


def test_every_case_is_in_the_judgement_with_its_code(judged):
    by_name = {verdict.case.split()[0].removeprefix("workload="): verdict for verdict in judged.verdicts}
    assert by_name.keys() == {*BOTH, *CHEATS, "gone", "asked", "fresh", "settings"}
    assert "conf/sweep/some.yaml (the sweep, changed)" in by_name["settings"].reason
    assert judged.exit_code == 4
    assert (judged.before.label, judged.after.label, judged.after.dirty) == ("HEAD", "working tree", True)
    assert judged.facts["chosen"] == ["hydra.searchpath=[file://conf]"]
    code = {name: verdict.code for name, verdict in by_name.items() if verdict.code}
    assert code == dict.fromkeys(by_name.keys() - {"gone", "fresh", "settings"}, "somebodys (src/somebodys.py)")
    assert judged.facts["code"] == "somebodys (src/somebodys.py)"


def test_twenty_times_the_work_is_found(judged):
    (slower,) = [verdict for verdict in only(judged, "slower").verdicts if verdict.outcome is Outcome.SLOWER]
    assert (slower.span, slower.metric, slower.clock) == ("a", "latency_s", "thread_cpu")
    assert 10 < slower.ratio < 40
    assert slower.low < slower.ratio < slower.high
    assert slower.launches >= LAUNCHES


TURNED = "return super().apply_rope("
COPIED = "x_BHSd = x_BHSd.clone()\n        " + TURNED
ONE_CASE = ("geometry=tiny", "phase=decode", "seq_len=4096", "dtype=float32", "hydra.searchpath=[pkg://normed]")


@pytest.fixture(scope="module")
def flat(tmp_path_factory, warm_workers):
    """Judge a checkout with README's variant at its top: since its last commit it copies, and has one head.

    The head is a setting, and spares the clock: times under two settings are not compared. All judgements share two
    workers.
    """
    folder = tmp_path_factory.mktemp("flat")
    repo = repository(folder / "checkout")
    repo.commit(readmes_variant())
    code, settings = readmes_variant().values()
    assert (TURNED in code, "kv_heads: null" in settings) == (True, True)
    changed = (code.replace(TURNED, COPIED), settings.replace("kv_heads: null", "kv_heads: 1"))
    repo.write(dict(zip(readmes_variant(), changed, strict=True)))
    before, after = revisions.before(repo.folder, "HEAD", folder), revisions.after(repo.folder, folder)
    trees = Revisions(trees=(before.folder, after.folder), logs=folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(repo.folder), prepend=os.pathsep)
        with trees.launched() as workers:
            patched.setattr(Revisions, "launched", lambda trees: nullcontext(workers))

            def judge(attention):
                comparison = RevisionComparison(
                    before=before,
                    after=after,
                    sweep="gate",
                    chosen=[f"attention={attention}", *ONE_CASE],
                    seconds=1.0,
                    tolerances=Tolerances.load(),
                    folder=folder,
                )
                comparison.run(print)
                return comparison.judgement(inconclusive_fails=False, interrupted=False)

            yield judge


def test_only_code_in_the_checkout_is_judged(flat):
    judgement = flat("gqa,normed")
    (gqa,), normed = (
        [verdict for verdict in judgement.verdicts if verdict.case.split()[1] == f"attention={name}"]
        for name in ("gqa", "normed")
    )
    assert [verdict.reason for verdict in normed if verdict.outcome is Outcome.SLOWER] == [
        "other operators ran: added clone"
    ]
    assert {verdict.code for verdict in normed} == {"normed (normed/__init__.py)"}
    assert (gqa.outcome, gqa.code) == (Outcome.UNJUDGED, "")
    assert gqa.reason == "it runs installed code, suite, and no code of the two revisions"
    assert judgement.exit_code == 1


def test_a_sweep_of_installed_code_alone_is_refused(flat, capsys):
    judgement = flat("gqa")
    (refusal,) = judgement.verdicts
    assert refusal.reason.startswith("no case of sweep=gate runs code of the two revisions (at their top or in src/)")
    assert "; all run installed code, suite. Choose other cases" in refusal.reason
    assert refusal.reason.endswith("suite gate pytest --against HEAD")
    assert (refusal.outcome, judgement.exit_code) == (Outcome.BROKEN, 4)
    assert capsys.readouterr().out == ""
