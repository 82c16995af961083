"""Is a step of reinforcement learning faster than another tree's? The same run in both, step by step in turns.

    OMP_NUM_THREADS=1 python tests/benchmarks/rl_step.py --against ../other [--steps 24] [--policies small medium]

Each tree runs in a process of its own and takes one step after the other; which goes first changes from step to step,
so that other work on the machine hits both alike. The runs follow the same seed, so that a step's ratio compares the
same work as far as both sample the same tokens, which the last column tells. Prints thread CPU time of a step's
phases, this tree's and the other's, and the other's over this one's: above 1 this tree is faster.
"""

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parents[2]
PHASES = ("rollout", "score", "update")
WHOLE, TOKENS = "whole step", "tokens"
WARM_STEPS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="the other tree")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--policies", nargs="+", default=["small"])
    parser.add_argument("--algorithms", nargs="+", default=["grpo", "ppo"])
    asked = parser.parse_args()
    print(f"{'':<32}{'this':>9}{'other':>9}  other / this, 95 % interval  ({asked.steps} steps, ms of thread CPU time)")
    for policy in asked.policies:
        for algorithm in asked.algorithms:
            ours, theirs = in_turns((HERE, asked.against.resolve()), algorithm, policy, asked.steps)
            print_rows(f"{policy} {algorithm}", ours, theirs)


def print_rows(name: str, ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]) -> None:
    from suite.statistics.intervals import paired_ratio_interval

    for span in ours[0]:
        if span == TOKENS:
            continue
        of_ours, of_theirs = ([step[span] for step in steps] for steps in (ours, theirs))
        ratio = paired_ratio_interval(of_theirs, of_ours)
        times = f"{1e3 * median(of_ours):9.2f}{1e3 * median(of_theirs):9.2f}"
        print(f"{f'{name}, {span}':<32}{times}  {ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
    same = sum(mine[TOKENS] == other[TOKENS] for mine, other in zip(ours, theirs, strict=True))
    print(f"{name}: as many tokens sampled in {same} of {len(ours)} steps", flush=True)


def in_turns(trees: Sequence[Path], algorithm: str, policy: str, steps: int) -> list[list[dict[str, float]]]:
    """Return what each tree's steps took, by span."""
    found: list[list[dict[str, float]]] = [[] for _ in trees]
    with ExitStack() as stack:
        pipes = [stack.enter_context(begun(stack, tree, algorithm, policy)) for tree in trees]
        for step in range(WARM_STEPS + steps):
            numbered = list(enumerate(pipes))
            for number, pipe in reversed(numbered) if step % 2 else numbered:
                pipe.send(step)
                found[number].append(pipe.recv())
    return [seen[WARM_STEPS:] for seen in found]


def begun(stack: ExitStack, tree: Path, algorithm: str, policy: str) -> Connection:
    """Start this file with another tree's `suite` before it on the path."""
    folder = stack.enter_context(TemporaryDirectory())
    listener = stack.enter_context(Listener(f"{folder}/socket", "AF_UNIX"))
    paths = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "child", algorithm, policy, folder]
    child = subprocess.Popen(command, env=paths, cwd=tree)
    stack.callback(child.kill)
    return listener.accept()


def child(algorithm: str, policy: str, folder: str) -> None:
    """Take a step each time one is asked for, and answer with its times."""
    from multiprocessing.connection import Client

    import torch

    from suite.configuration.files import read_choice
    from suite.measure.clock import cpu_clock
    from suite.measure.meter import Meter
    from suite.rl.workload import RlWorkload
    from tests.rl.cases import _read, _settings, settings

    torch.set_num_threads(1)
    full = {name: _settings("rl")[name] for name in ("prompts_per_step", "num_generations", "minibatch", "base")}
    task = read_choice("task", "sort")
    changes = {"policy": _read("policy", policy), "steps": 10_000, "eval_every": 4, "eval_prompts": 256}
    workload = RlWorkload(settings(algorithm, **full, task=task, **changes))
    workload.prepare(Path(folder))
    with Client(f"{folder}/socket", "AF_UNIX") as pipe:
        while True:
            meter = Meter(cpu_clock(threads=1))
            try:
                meter.step = pipe.recv()
            except EOFError:
                return
            with meter.span(WHOLE):
                workload.step(meter)
            took: defaultdict[str, float] = defaultdict(float)
            for reading in meter.readings:
                if reading.metric == "latency_s":
                    took[reading.span] += reading.value
                elif reading.metric == "sampled_tokens":
                    took[TOKENS] = reading.value
            took[WHOLE] -= took.pop("evaluate", 0.0)
            pipe.send(dict(took))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main()
