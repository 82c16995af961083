"""Every writer of a folder that people keep, each beside all others and itself, killed now and then, and what is left.

    .ci/tool writers_together --rounds 50     # prints a table

In each round two processes of each writer (`suite results pack`, `merge`, `export` where MLflow is installed, a
run, `suite gate accept`, `suite calibrate`) start at once, while another process reads
the results again and again. They call the commands' own functions in forked children, since a start of the command line
costs a second; a third of them is killed with -9 at a random moment, and run again at the end, as people do.

What a writer has done it says in a log once its function has returned, and not before. At the end no run may be lost or
there twice, in MLflow too, everything that was said must be there, and nothing may be torn; the reader
must see each run once whenever it looks.
"""

import argparse
import contextlib
import datetime
import hashlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from suite.commands.calibrate import calibrate
from suite.commands.export import export
from suite.commands.results import merge, pack
from suite.gate.rules.acceptances import accept, read_acceptances
from suite.records.record import Record
from suite.records.stores.archive import pack as write_archive
from suite.records.stores.claim import claim_folder
from suite.records.stores.store import read_contents, write_record
from suite.run.cached import newest_with_key
from tests.commands.test_calibrate import records_of
from tests.records.factory import build

TODAY = datetime.date(2026, 3, 1)
LONGEST_S = 1.5
"""A kill comes at most so long after the start, in which most writers end."""
KILLED = 1 / 3
LONGEST_LINE = 240
OF_EACH = 6
"""Runs of each source, and twice as many lie there before."""
STORED = ("run", "merge folder", "merge archive")
"""Writers that say runs of the results folder."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The folder of a round. All of it is made once and copied for each."""

    root: Path

    def __getattr__(self, name: str) -> Path:
        return self.root / name

    def log_done(self, writer: str, *things: str) -> None:
        """Add to the log in one write, after what was done."""
        with self.log.open("a") as file:
            file.write("".join(f"{writer}\t{thing}\n" for thing in things))

    def logged(self) -> list[tuple[str, str]]:
        """Writer and thing of each line of the log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(writer, thing) for writer, _, thing in (line.partition("\t") for line in lines)]


def run_of(name: str) -> Record:
    """A run with a key of its own, made from its name."""
    record = build(extras={"name": name})
    return replace(record, run_key=hashlib.sha256(name.encode()).hexdigest())


def write_runs(folder: Path, *names: str) -> None:
    """Write runs as a sweep does; one that another process has written counts."""
    for record in map(run_of, names):
        if newest_with_key(record.run_key, folder) is None and (claim := claim_folder(folder, record.run_key)):
            with claim:
                write_record(record, claim.folder)


def make(root: Path) -> World:
    """Make what every round begins with."""
    world = World(root=root)
    write_runs(world.results, *(f"before-{number}" for number in range(2 * OF_EACH)))
    write_runs(world.source, *(f"folder-{number}" for number in range(OF_EACH)))
    write_runs(world.packable, *(f"archive-{number}" for number in range(OF_EACH)))
    write_archive(world.packable, [], world.archive)
    for attention in ("mla", "gqa"):
        for number, record in enumerate(records_of(attention)):
            key = hashlib.sha256(f"{attention} {number}".encode()).hexdigest()
            with claim_folder(root / attention, key) as claim:
                write_record(replace(record, run_key=key), claim.folder)
        calibrate([root / attention], out=root / f"{attention}.yaml")
    return world


def _run(world: World, number: int) -> None:
    for name in (f"run-{number}-{count}" for count in range(3)):
        write_runs(world.results, name)
        world.log_done("run", name)


def _pack(world: World, number: int, folder: str = "results", *, remove: bool = True) -> None:
    assert pack([world.root / folder], remove=remove) == 0


def _merge_folder(world: World, number: int) -> None:
    assert merge([world.source], world.results) == 0
    world.log_done("merge folder", *(f"folder-{count}" for count in range(OF_EACH)))


def _merge_archive(world: World, number: int) -> None:
    assert merge([world.archive], world.results) == 0
    world.log_done("merge archive", *(f"archive-{count}" for count in range(OF_EACH)))


def _export(world: World, number: int) -> None:
    present = {thing for writer, thing in world.logged() if writer in STORED}
    assert export([world.results], f"sqlite:///{world.mlflow}") == 0
    world.log_done("export", *present)


def _accept(world: World, number: int) -> None:
    for name in (f"case {number} {count}" for count in range(3)):
        accept(world.accepted, name, reason="why", ceiling=1.1, expires=TODAY, today=TODAY)
        world.log_done("accept", name)


def _calibrate(world: World, number: int) -> None:
    assert calibrate([world.root / ("mla", "gqa")[number % 2]], out=world.calibration) == 0
    world.log_done("calibrate", "a file")


WRITERS: Mapping[str, Callable[[World, int], None]] = {
    "run": _run,
    "pack --remove": _pack,
    "pack": partial(_pack, remove=False),
    "pack its source": partial(_pack, folder="source"),
    "merge folder": _merge_folder,
    "merge archive": _merge_archive,
    **({"export": _export} if find_spec("mlflow") else {}),
    "accept": _accept,
    "calibrate": _calibrate,
}


@dataclass(kw_only=True)
class Tally:
    """Counts of each writer."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    of_round: list[str] = field(default_factory=list)
    """Faults of the round, each once, though it is judged twice."""

    def count(self, writer: str, what: str, number: int = 1) -> None:
        self.counts[writer, what] += number

    def fault(self, writer: str, what: str, things: Iterable[object]) -> None:
        """Note a fault for each thing, once in a round."""
        for fault in (f"{writer}: {what}: {thing}" for thing in things):
            if fault not in self.of_round:
                self.of_round.append(fault)
                self.count(writer, what)

    @property
    def faults(self) -> int:
        """The number of all faults so far."""
        return sum(count for (_, what), count in self.counts.items() if what in FAULTS)

    def table(self) -> str:
        """The counts of each writer as aligned lines."""
        columns = ("started", "killed", "said done", *FAULTS)
        rows = [["", *columns]]
        rows += [[name, *(str(self.counts[name, what]) for what in columns)] for name in (*WRITERS, "reader")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


FAULTS = ("said and not there", "lost", "there twice", "torn", "ended with an error")


def start(world: World, name: str, number: int, gate: tuple[int, int]) -> int:
    """Fork a child that waits until the gate's writing end is closed, then writes and ends; its process number."""
    if child := os.fork():
        return child
    code = 1
    try:
        os.close(gate[1])
        os.read(gate[0], 1)
        out = (world.root / f"{name} {number}.out").open("w")
        with out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                (look_on if name == "reader" else WRITERS[name])(world, number)
                code = 0
            except Exception:
                traceback.print_exc()
    finally:
        os._exit(code)


def open_gate(gate: tuple[int, int]) -> None:
    for end in gate:
        os.close(end)


def look_on(world: World, number: int) -> None:
    """Read the results until the round is over. Each run that was said before a look must be seen in it, once."""
    while not world.over.exists():
        logged = {f"before-{count}" for count in range(2 * OF_EACH)}
        logged |= {thing for writer, thing in world.logged() if writer in STORED}
        seen, damaged = runs_in(world.results)
        assert not damaged, damaged
        assert not (missing := logged - seen.keys()), f"not seen: {missing}"
        assert max(seen.values()) == 1, f"seen twice: {seen.most_common(1)}"


def runs_in(folder: Path) -> tuple[Counter[str], list[str]]:
    """Count the runs of each name, and say what is damaged."""
    contents = read_contents([folder])
    names = Counter(run.record.case.extras["name"] for run in contents.stored)
    return names, [f"{damage.folder.name}: {damage.reason}" for damage in contents.damaged]


def play(world: World, writers: Sequence[str], tally: Tally, chance: random.Random, *, kill: bool = True) -> None:
    """Let all write at once, kill some, run those again, and count what is wrong."""
    gate = os.pipe()
    children = {start(world, name, number, gate): (name, number) for number, name in enumerate(writers)}
    reader = start(world, "reader", 0, gate)
    begun = time.monotonic()
    open_gate(gate)
    kills = sorted((chance.uniform(0, LONGEST_S), child) for child in children if kill and chance.random() < KILLED)
    for at, child in kills:
        time.sleep(max(0.0, begun + at - time.monotonic()))
        os.kill(child, signal.SIGKILL)  # until it is waited for, the number is its own
    killed = []
    for child, (name, number) in children.items():
        tally.count(name, "started")
        killed += [(name, number)] if _ended(child, world, name, number, tally) else []
    judge(world, tally, is_last=False)
    for name, number in killed:
        gate = os.pipe()
        child = start(world, name, number, gate)
        open_gate(gate)
        _ended(child, world, name, number, tally)
    world.over.touch()
    tally.count("reader", "started")
    _ended(reader, world, "reader", 0, tally)
    judge(world, tally, is_last=True)


def _ended(child: int, world: World, name: str, number: int, tally: Tally) -> bool:
    """Wait for a child and count its end; True for one that was killed."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGKILL:
        tally.count(name, "killed")
    elif code:
        tally.fault(name, "ended with an error", (world.root / f"{name} {number}.out").read_text().splitlines()[-1:])
    return code == -signal.SIGKILL


def judge(world: World, tally: Tally, *, is_last: bool) -> None:
    """Compare what lies there with what was said. `is_last`: nothing is unfinished any more, and said is counted."""
    logged = {name: {thing for writer, thing in world.logged() if writer == name} for name in WRITERS}
    there = {"accept": Counter[str](), "export": Counter[str]()}
    stored, damaged = runs_in(world.results)
    tally.fault("pack --remove", "torn", damaged)
    tally.fault("pack --remove", "lost", [n for n in range(2 * OF_EACH) if not stored[f"before-{n}"]])
    tally.fault("pack its source", "lost", [n for n in range(OF_EACH) if not runs_in(world.source)[0][f"folder-{n}"]])
    tally.fault("pack --remove", "there twice", [name for name, count in stored.items() if count > 1])
    if world.accepted.exists():
        there["accept"] = Counter(entry.case for entry in read_acceptances(world.accepted, TODAY))
    if logged.get("export"):
        there["export"] = in_mlflow(f"sqlite:///{world.mlflow}")
    for name, things in logged.items():
        counts = there.get(name, stored if name in STORED else Counter(things))
        tally.fault(name, "said and not there", sorted(things - counts.keys()))
        tally.fault(name, "there twice", [thing for thing, count in counts.items() if count > 1 and name in there])
        tally.count(name, "said done", len(things) if is_last else 0)
    if logged["calibrate"]:
        texts = [(world.root / f"{name}.yaml").read_text() for name in ("mla", "gqa")]
        tally.fault("calibrate", "torn", {world.calibration.read_text()}.difference(texts))


def in_mlflow(uri: str) -> Counter[str]:
    """Count the whole runs in MLflow by their names."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.record_sha256 != ''", max_results=1000)
    return Counter(run.data.params["name"] for run in runs)


def main(rounds: int, seed: int = 0) -> Tally:
    """Play the rounds, print a table, and return the counts."""
    chance, tally, begun = random.Random(seed), Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            template = make(Path(folder) / "template")
        for number in range(1, rounds + 1):
            world = World(root=Path(folder) / "round")
            shutil.copytree(template.root, world.root)
            tally.of_round.clear()
            play(world, [*WRITERS] * 2, tally, chance)
            shutil.rmtree(world.root)
            lines = [f"round {number} of {rounds}: {len(tally.of_round)} faults", *tally.of_round]
            print(*(line[:LONGEST_LINE] for line in lines), sep="\n  ", flush=True)
    print(tally.table())
    print(f"{rounds} rounds in {time.monotonic() - begun:.0f} s, {tally.faults} faults")
    return tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(bool(main(**vars(parser.parse_args())).faults))
