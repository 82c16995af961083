"""A training step by this checkout, by another one, and by TRL's trainer, in turns.

    PYTHON=.parity/bin/python .ci/tool benchmarks.rl_before FOLDER [--pairs 9] [--policies small]

FOLDER is another checkout, as of the commit before. A process for each checkout does each work with its code; TRL runs
in this one. Times are CPU milliseconds of one thread, a ratio is theirs / ours with its 95% interval, as in rl_rivals.

The step of the first rows is the one that rl_rivals gives TRL: a rollout of up to 64 tokens and its updates, with given
rewards. The last rows are whole steps of training runs: prompts, rollout, rewards and updates. They have no row of TRL,
whose 1.16 has no trainer for PPO. All readings of both checkouts' runs must be equal, or the script exits with 1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from suite.configuration.files import read_choice
from suite.measure.meter import Meter
from suite.rl.workload import RlWorkload
from tests.rl.cases import settings
from tools.benchmarks.rl_rivals import COMPLETIONS, COPIES, MINIBATCH, Both, Row, in_turns

ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--policies", nargs="+", default=["small"])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.serve:
        serve(options.policies[0])
        return
    print(f"medians of {options.pairs} turns, theirs / ours\n{'':<58}{'ours':>9} {'theirs':>9}  ratio", flush=True)
    for policy in options.policies:
        with served(ROOT, policy) as now, served(options.before, policy) as then:
            for kl_coef in (0.04, 0.0):
                step_rows(policy, kl_coef, options.pairs, now, then)
            for algorithm in ("grpo", "ppo"):
                course_row(policy, algorithm, options.pairs, now, then)
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}")


def step_rows(policy: str, kl_coef: float, pairs: int, now: "Served", then: "Served") -> None:
    """Print TRL's step and the other checkout's beside ours."""
    for checkout in (now, then):
        checkout.begin(f"step {kl_coef}")
    with tempfile.TemporaryDirectory() as folder:
        both = Both(policy, kl_coef, Path(folder))
        now_ms, then_ms, trl_ms = in_turns(pairs, now.turn, then.turn, both.their_step)
    print(Row(what=f"{policy}, GRPO step, kl_coef {kl_coef:g}: TRL", ours_ms=now_ms, theirs_ms=trl_ms))
    print(Row(what="  the other checkout", ours_ms=now_ms, theirs_ms=then_ms), flush=True)


def course_row(policy: str, algorithm: str, pairs: int, now: "Served", then: "Served") -> None:
    """Print the other checkout's whole step beside ours. Exits where their runs' readings differ."""
    for checkout in (now, then):
        checkout.begin(algorithm)
    now_ms, then_ms = in_turns(pairs, now.turn, then.turn)
    are_equal = now.readings() == then.readings()
    row = Row(what=f"{policy}, whole step of {algorithm}: the other checkout", ours_ms=now_ms, theirs_ms=then_ms)
    print(row, f"; readings of {pairs + 1} steps are equal" if are_equal else "", flush=True)
    if not are_equal:
        raise SystemExit("the runs of the two checkouts have different readings")


class Served:
    """Work that a process of some checkout does on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, work: str) -> None:
        """Have it prepare a work: "step" with a price of KL, or the course of an algorithm."""
        self._answer(work)

    def turn(self) -> float:
        """Have it work once; the CPU milliseconds that it took."""
        return float(self._answer("turn"))

    def readings(self) -> str:
        """All that its run has noted so far."""
        return self._answer("readings")

    def _answer(self, request: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(request, file=self._process.stdin, flush=True)
        if not (answer := self._process.stdout.readline()):
            raise SystemExit("the process of a checkout has ended; its reason stands above")
        return answer


@contextmanager
def served(checkout: Path, policy: str) -> Iterator[Served]:
    """A process that runs this file with the checkout's code, so that it does what this one does."""
    path = os.pathsep.join(map(str, (checkout.resolve(), checkout.resolve() / ".ci")))
    command = [sys.executable, str(Path(__file__).resolve()), ".", "--serve", "--policies", policy]
    environment = {**os.environ, "PYTHONPATH": path}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=checkout, env=environment, **pipes) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


def serve(policy: str) -> None:
    """Answer requests on standard input, see `Served`."""
    does: Both | Course | None = None
    with tempfile.TemporaryDirectory() as scratch:
        for number, request in enumerate(map(str.strip, sys.stdin)):
            if request == "readings":
                print("; ".join(does.readings), flush=True)
            elif request == "turn":
                begun_s = time.process_time()
                does.our_step()
                print(1e3 * (time.process_time() - begun_s), flush=True)
            else:
                folder = Path(scratch, str(number))
                folder.mkdir()
                name, _, kl_coef = request.partition(" ")
                does = Both(policy, float(kl_coef), folder) if kl_coef else Course(name, policy, folder)
                print("begun", flush=True)


class Course:
    """A training run, a step at a time, without evaluations but the first."""

    def __init__(self, algorithm: str, policy: str, folder: Path) -> None:
        sizes = {"policy": read_choice("policy", policy), "task": read_choice("task", "sort")}
        often = {"steps": 1_000_000, "eval_every": 1_000_000, "checkpoint_seconds": 1e9}
        batch = {"prompts_per_step": COMPLETIONS // COPIES, "num_generations": COPIES, "minibatch": MINIBATCH}
        self._workload = RlWorkload(settings(algorithm, **sizes, **often, **batch))
        self._workload.prepare(folder)
        self._meter = Meter()
        self.readings: list[str] = []

    def our_step(self) -> None:
        self._workload.step(self._meter)
        self._meter.step += 1
        self.readings = [f"{reading.step} {reading.metric} {reading.value!r}" for reading in self._meter.readings]


if __name__ == "__main__":
    main()
