"""Learning curves of TRL's GRPOTrainer beside ours: the same base models, items, scorer and settings.

    PYTHON=.parity/bin/python nice -n 10 .ci/tool benchmarks.trl_curves [--seeds 0 1 2 …] [--workers 2]

Four runs of a seed begin as one base model: ours, ours with other noise, and TRL's own `GRPOTrainer.train()` twice,
without vLLM. Noise is what completions are sampled with and the order of the minibatches. "theirs" generates and orders
by its own random numbers, so that its curve can be like ours in distribution only. "theirs, our noise" has a rollout
function, in which its weights sample by our random numbers, and minibatches in our order: what is left between it and
ours is rounding, and what rounding grows to. Settings are equal, and what TRL has by default is printed beside them.

Weights of theirs are copied back into our decoder for evaluations, so that all answer the same held-out prompts,
greedily, by the same code. tests/parity/test_trl_training.py has the proof for a few updates: equal weights.

A run is alike to ours by the one rule of evidence (suite/statistics/paired.py): Student's 95% interval of the
differences, paired by seed, lies within the margin that the rule has everywhere, two points. The 90% interval, which
is the two one-sided tests at 5%, stands beside it. Ours with other noise is the yardstick of "theirs": what the rule
says where nothing but noise differs.

A run's area is the mean of its curve, by trapezoids, from the first to the last evaluation. `--keep FOLDER` writes the
runs of each seed into a file there, and reads those that it finds.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import TrainerCallback
from trl import GRPOConfig

from suite.configuration.files import read_choice
from suite.measure.meter import Meter
from suite.measure.rng import torch_rng
from suite.records.metrics import EVALUATE
from suite.rl.advantages import DEVIATION_EPSILON
from suite.rl.workload import RlWorkload
from suite.statistics.paired import SHARE_MARGIN, Comparison, compare, judge_together
from suite.statistics.seeds import seed_mean
from suite.statistics.student import t_above
from tests.parity.their_decoder import copy_back
from tests.parity.their_trainer import our_order, our_sampling, settings_of, trainer_of
from tests.rl.cases import settings

CHANGES = {
    "steps": 32,
    "prompts_per_step": 32,
    "num_generations": 8,
    "minibatch": 64,
    "lr": 4e-4,
    "eval_every": 4,
    "eval_prompts": 256,
    "base": {"updates": 300, "batch": 64, "lr": 1e-3},
}
DIGITS = 3
RUNS = ("ours", "theirs, our noise", "theirs", "ours again")
THEIR_CONSTANT = 1e-4
"""What TRL adds to a group's standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A learning curve and what it cost, evaluations and the base model aside."""

    accuracies: Sequence[float]
    process_cpu_s: float

    @property
    def area(self) -> float:
        """The mean of the curve, by trapezoids."""
        first, *_, last = self.accuracies
        return (sum(self.accuracies) - (first + last) / 2) / (len(self.accuracies) - 1)

    @property
    def final(self) -> float:
        return self.accuracies[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(8)))
    parser.add_argument("--workers", type=int, default=2, help="processes that take a seed at a time")
    parser.add_argument(
        "--keep", type=Path, help="a folder for the runs of each seed, which are read if they are there"
    )
    options = parser.parse_args()
    print(f"OMP_NUM_THREADS=1 nice -n {os.nice(0)} .parity/bin/python {sys.argv[0]} --seeds", *options.seeds)
    print(" ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl")), flush=True)
    kept = {seed: kept_runs(seed, options.keep) for seed in options.seeds}
    missing = [seed for seed in options.seeds if not kept[seed]]
    if missing:
        with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
            kept |= zip(missing, pool.map(run_seed, missing, repeat(options.keep)), strict=True)
    runs = {seed: kept[seed] for seed in options.seeds}
    for line in (*settings_lines(), *curves_lines(runs), *difference_lines(runs), *cost_lines(runs)):
        print(line)


# --- the runs of a seed


def kept_runs(seed: int, keep: Path | None) -> dict[str, Run]:
    """The four runs of a seed that were kept before; none where they were not."""
    file = keep / f"{seed}.json" if keep else None
    if not file or not file.exists():
        return {}
    return {run: Run(**values) for run, values in json.loads(file.read_text()).items()}


def run_seed(seed: int, keep: Path | None) -> dict[str, Run]:
    """Make the four runs of a seed, and write them where they are to be kept."""
    warnings.filterwarnings("ignore", module="transformers|trl|accelerate|torch")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        runs = {
            "ours": our_run(seed, folder),
            "theirs, our noise": their_run(seed, folder, with_our_noise=True),
            "theirs": their_run(seed, folder),
            "ours again": our_run(seed, folder, "again"),
        }
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{seed}.json").write_text(json.dumps({run: asdict(values) for run, values in runs.items()}))
    return runs


def prepared_workload(seed: int, folder: Path) -> RlWorkload:
    """A workload with its base model, which the first of a seed trains and the others read."""
    workload = RlWorkload(chosen_settings(seed))
    workload.prepare(folder)
    return workload


def chosen_settings(seed: int) -> dict[str, Any]:
    task = {**read_choice("task", "sort"), "digits": DIGITS}
    return settings("grpo", policy=read_choice("policy", "small"), task=task, seed=seed, **CHANGES)


def our_run(seed: int, folder: Path, *noise: str) -> Run:
    """A run of ours; `noise` names other random numbers."""
    workload, clock = prepared_workload(seed, folder), Clock()
    meter = Meter(clock)
    with other_noise(*noise):
        for meter.step in range(workload.steps):
            workload.step(meter)
    spent_s = sum(seconds for span, seconds in clock.spent_s.items() if span != EVALUATE)
    return Run(accuracies=heldout_accuracies(meter), process_cpu_s=spent_s)


@contextmanager
def other_noise(*extra_keys: str) -> Iterator[None]:
    """Sample, and order minibatches, by other random numbers of the same seed."""

    def named(device: torch.device, *keys: object) -> torch.Generator:
        return torch_rng(device, *keys, *extra_keys)

    with patch("suite.rl.rollout.torch_rng", named), patch("suite.rl.learner.torch_rng", named):
        yield


class Clock:
    """A probe that adds up the process's CPU seconds by span."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)

    def __call__(self, span: str):
        begun_s = time.process_time()

        def stop() -> tuple[()]:
            self.spent_s[span] += time.process_time() - begun_s
            return ()

        return stop


def their_run(seed: int, folder: Path, *, with_our_noise: bool = False) -> Run:
    """A run of TRL's trainer, with our random numbers on request."""
    workload, clock = prepared_workload(seed, folder), Clock()
    plan, base = workload.plan, workload.policy
    evaluations = Evaluations(workload, Meter(clock))
    changes: dict[str, Any] = {}
    if with_our_noise:
        # Rewards that are so much larger make TRL's constant ours.
        changes = {"rollout": our_sampling(plan, base), "reward_weights": [THEIR_CONSTANT / DEVIATION_EPSILON]}
    trainer = trainer_of(plan, base, folder, callbacks=[evaluations], **changes)
    begun_s = time.process_time()
    with our_order(plan) if with_our_noise else nullcontext():
        trainer.train()
    spent_s = time.process_time() - begun_s - clock.spent_s[EVALUATE]
    return Run(accuracies=heldout_accuracies(evaluations.meter), process_cpu_s=spent_s)


class Evaluations(TrainerCallback):
    """Our evaluations of their policy, at the steps of ours."""

    def __init__(self, workload: RlWorkload, meter: Meter) -> None:
        self._workload, self.meter = workload, meter

    def on_train_begin(self, args: Any, state: Any, control: Any, **further: Any) -> None:
        self.on_step_end(args, state, control, **further)

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        plan = self._workload.plan
        self.meter.step, within = divmod(state.global_step, args.steps_per_generation)
        if within == 0 and (self.meter.step % plan.eval_every == 0 or self.meter.step == plan.steps):
            copy_back(model, self._workload.policy)
            self._workload._evaluate(self.meter)


def heldout_accuracies(meter: Meter) -> list[float]:
    return [reading.value for reading in meter.readings if reading.metric == "heldout_accuracy"]


# --- what is told of them


def settings_lines() -> Iterator[str]:
    """Lines about TRL's defaults and what they were set to."""
    plan = RlWorkload(chosen_settings(seed=0)).plan
    chosen, defaults = settings_of(plan), {field.name: field.default for field in fields(GRPOConfig)}
    yield ""
    yield "What TRL has by default, and what it was set to"
    for name, value in chosen.items():
        if defaults[name] != value:
            yield f"  {name:<28} {defaults[name]!s:>12}  {value}"
    yield f"  {'bf16, gradient_checkpointing':<28} {'True':>12}  False"
    yield f"  {'rate of the first update':<28} {'0':>12}  {plan.lr / plan.warmup_updates:g}"
    yield f"  {'rewards, with our noise':<28} {'x 1':>12}  x {THEIR_CONSTANT / DEVIATION_EPSILON:g}"
    yield f"The last makes the {THEIR_CONSTANT:g} that TRL adds to a group's deviation our {DEVIATION_EPSILON:g}."
    yield "In the other runs it is left as it is, which changes an advantage by 0.3% at most."


def curves_lines(runs: Mapping[int, Mapping[str, Run]]) -> Iterator[str]:
    completions = CHANGES["eval_every"] * CHANGES["prompts_per_step"] * CHANGES["num_generations"]
    points = range(len(next(iter(runs.values()))["ours"].accuracies))
    yield ""
    yield f"Held-out accuracy in %, sorting {DIGITS} digits, after so many completions; area and final value"
    yield f"{'':<24}{''.join(f'{completions * point:>7}' for point in points)}   area  final"
    for run in RUNS:
        curves = [seed_runs[run] for seed_runs in runs.values()]
        means = [sum(curve.accuracies[point] for curve in curves) / len(curves) for point in points]
        yield curve_line(f"mean of {run}", Run(accuracies=means, process_cpu_s=0.0))
    for seed, seed_runs in runs.items():
        for run in RUNS:
            yield curve_line(f"{seed} {run}", seed_runs[run])
    pairs = [(seed_runs["ours"].accuracies, seed_runs["theirs, our noise"].accuracies) for seed_runs in runs.values()]
    is_same = [all(ours[point] == theirs[point] for ours, theirs in pairs) for point in points]
    shared = is_same.index(False) if False in is_same else len(is_same)
    yield f"With our noise theirs and ours are equal at the first {shared} of {len(is_same)} evaluations of every seed."


def curve_line(name: str, run: Run) -> str:
    cells = "".join(f"{100 * accuracy:7.1f}" for accuracy in run.accuracies)
    return f"{name:<24}{cells}{100 * run.area:7.1f}{100 * run.final:7.1f}"


def difference_lines(runs: Mapping[int, Mapping[str, Run]]) -> Iterator[str]:
    """Lines with the differences from ours, paired by seed."""
    yield ""
    yield f"Differences in points, paired by seed, {len(runs)} seeds; the margin is {100 * SHARE_MARGIN:g} points"
    yield f"{'':<34}{'mean':>6} {'90% interval':>16} {'95% interval':>16}  {'p of TOST':>9}  outcome"
    for other in RUNS[1:]:
        compared = {measure: compare_with_ours(runs, other, measure) for measure in ("area", "final")}
        judged = judge_together(list(compared.values()))
        for measure, comparison in zip(compared, judged, strict=True):
            assert comparison.interval is not None
            intervals = (seed_mean(comparison.differences, level=0.9), comparison.interval)
            cells = " ".join(f"{f'[{100 * ends.low:.1f}, {100 * ends.high:.1f}]':>16}" for ends in intervals)
            p = f"{tost_p(comparison):9.4f}"
            yield f"{f'{other} - ours, {measure}':<34}{100 * comparison.mean:6.1f} {cells}  {p}  {comparison.outcome}"


def compare_with_ours(runs: Mapping[int, Mapping[str, Run]], other: str, measure: str) -> Comparison:
    """A run's area or final accuracy compared with ours, by seed."""
    first, second = (
        {str(seed): getattr(seed_runs[run], measure) for seed, seed_runs in runs.items()} for run in (other, "ours")
    )
    comparison = compare(first, second, margin=SHARE_MARGIN)
    assert comparison is not None
    return comparison


def tost_p(comparison: Comparison) -> float:
    """The larger p of the two one-sided tests: below 0.05 the 90% interval lies within the margin."""
    if comparison.error == 0:
        return 0.0 if abs(comparison.mean) < SHARE_MARGIN else 1.0
    ts = [(SHARE_MARGIN + sign * comparison.mean) / comparison.error for sign in (1, -1)]
    return max(t_above(t, comparison.pairs - 1) for t in ts)


def cost_lines(runs: Mapping[int, Mapping[str, Run]]) -> Iterator[str]:
    means = [sum(seed_runs[run].process_cpu_s for seed_runs in runs.values()) / len(runs) for run in ("ours", "theirs")]
    yield ""
    yield "CPU seconds of a run, evaluations and the base model aside: ours {:.1f}, theirs {:.1f}".format(*means)
    yield f"They are no measurement where other work shares the CPUs: load average {os.getloadavg()[0]:.1f} at the end"


if __name__ == "__main__":
    main()
