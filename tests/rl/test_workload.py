"""A run of RL from the command to its record, and from a kill to the record of the unbroken run."""

import os
import re
import signal
import time
from multiprocessing import forkserver

import psutil
import pytest
import torch

from suite.commands.run import main
from suite.configuration.files import read_choice
from suite.measure.meter import Meter
from suite.records.metrics import METRICS, PHASES
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.rl.tasks.sorting import Sorting
from suite.rl.tasks.task import is_held_out
from suite.rl.workload import RlWorkload
from suite.run.compose.composer import compose
from suite.run.job import job_of
from suite.run.recorder import CHECKPOINTS
from tests.forked import forked, needs_forks
from tests.measure import stateful_runs
from tests.rl.cases import TINY_RL, recipe, seeded, settings


def run(folder, *arguments):
    code = main([*TINY_RL, *arguments, f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"])
    return code, [stored.record for stored in read_contents([folder]).stored]


def readings(record, span, metric):
    return {
        reading.step: reading.value for reading in record.readings if (reading.span, reading.metric) == (span, metric)
    }


def test_a_run_records_costs_learning_and_steadiness(tmp_path, capsys):
    code, (record,) = run(tmp_path, "algorithm=ppo")
    assert (code, record.status) == (0, Status.OK)
    assert {reading.metric for reading in record.readings} <= set(METRICS)
    assert readings(record, "step", "completions") == {0: 16, 1: 16, 2: 16}
    assert readings(record, "step", "updates") == {0: 2, 1: 2, 2: 2}
    assert set(readings(record, "evaluate", "heldout_accuracy")) == {0, 2, 3}
    assert all(0 < tokens <= 12 for tokens in readings(record, "evaluate", "heldout_length").values())
    assert set(readings(record, "evaluate", "heldout_length")) == {0, 2, 3}
    (guessed,) = readings(record, "evaluate", "trivial_accuracy").values()
    assert guessed * 8 in range(1, 9)  # of eight prompts
    for phase in (*PHASES, "evaluate"):
        assert set(readings(record, phase, "latency_s")) <= {0, 1, 2, 3}
        assert all(
            reading.process_cpu_s >= 0
            for reading in record.readings
            if reading.span == phase and reading.wall_s is not None
        )
    for metric in ("entropy", "explained_variance", "gradient_norm", "clip_fraction_high", "kl_reference"):
        assert readings(record, "step", metric)
    assert record.provenance["attention_modes"] == {"trained": "GroupedAttention", "decoded": "GroupedAttention"}
    assert not (tmp_path / CHECKPOINTS).exists()
    assert "held-out accuracy" in capsys.readouterr().out


def in_process(folder, algorithm="grpo", *, until=None, **changes):
    """Its outcome, what follows from its seed, and its facts."""
    outcome, readings, facts = stateful_runs.in_process(settings(algorithm, **changes), folder, until=until)
    return outcome, [reading for reading in readings if METRICS[reading.metric].seeded], facts


class Watched(Sorting):
    """Notes of each content that it is asked about whether it is held out."""

    read, written, scored = [], [], []

    def document(self, item, generator):
        self.read.append(is_held_out(item.content))
        return super().document(item, generator)

    def solution(self, item, generator):
        self.written.append(is_held_out(item.content))
        return super().solution(item, generator)

    def score(self, item, completion):
        self.scored.append(is_held_out(item.content))
        return super().score(item, completion)


def test_what_is_held_out_is_evaluated_and_never_learnt_from(tmp_path):
    stages = [{"kind": kind, "share": 0.5} for kind in ("sft", "rl")]
    asked = {"steps": 2, "recipe": {"stages": stages, "examples": 8}, "eval_every": 2}
    outcome, _, _ = in_process(tmp_path, **asked, task={"_target_": f"{__name__}.Watched", "digits": 3})
    assert outcome == (Status.OK, None)
    assert Watched.read == [False] * 24  # three updates of the base
    assert Watched.written == [False] * 8
    guessed, trained = Watched.scored[:-40], Watched.scored[-40:]
    assert set(guessed) == {True}
    assert trained == [True] * 16 + [False] * 16 + [True] * 8  # before each stage, the rollout, at the end


AS_PRACTISED = {"critic_warmup_steps": 4, "lam_alpha": 0.2, "critic_lam": 1.0, "critic_model": "tiny"}
"""The run dies while its critic learns alone, then once more, and then the policy begins."""
OTHERWISE = [AS_PRACTISED, {"dtype": "bfloat16"}, {"autocast": True}, {"lora_rank": 2}]


@pytest.mark.parametrize(("algorithm", "changes"), [("grpo", {}), *(("ppo", changes) for changes in ({}, *OTHERWISE))])
def test_a_run_that_died_twice_ends_as_the_unbroken_one(tmp_path, algorithm, changes):
    asked = {"steps": 6, "checkpoint_seconds": 1e-9, **changes}
    _, unbroken, _ = in_process(tmp_path / "unbroken", algorithm, **asked)
    broken = tmp_path / "broken"
    assert in_process(broken, algorithm, until=3, **asked)[0] is None
    assert in_process(broken, algorithm, until=4, **asked)[0] is None
    outcome, resumed, facts = in_process(broken, algorithm, **asked)
    assert outcome == (Status.OK, None)
    assert len(facts["resumed_at_steps"]) == 2
    assert resumed == unbroken
    assert not (broken / "checkpoint.pt").exists()


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_lora_begins_as_the_base_and_trains_adapters_alone(tmp_path, algorithm):
    workload, plain = (RlWorkload(settings(algorithm, lora_rank=rank)) for rank in (2, None))
    for each in (workload, plain):
        each.prepare(tmp_path)
    base = plain.policy.state_dict()
    meters = [Meter(), Meter()]
    for each, meter in zip((workload, plain), meters, strict=True):
        each.step(meter)
    first, first_plain = ({r.metric: r.value for r in meter.readings if METRICS[r.metric].seeded} for meter in meters)
    assert first["reward"] == first_plain["reward"]
    assert first["gradient_norm"] != first_plain["gradient_norm"]
    trained = workload.policy.state_dict()
    assert {name for name in trained if name not in base} == {name for name in trained if name.startswith("adapters.")}
    assert all(weight.any() for name, weight in trained.items() if name.endswith("up_OR"))
    fresh = RlWorkload(settings(algorithm))
    fresh.prepare(tmp_path)
    assert all(torch.equal(trained[name], weight) for name, weight in fresh.policy.state_dict().items())


def test_a_critic_learns_alone_and_from_a_base_of_its_own(tmp_path):
    asked = {"critic_warmup_steps": 2, "critic_model": "tiny"}
    outcome, found, facts = in_process(tmp_path, "ppo", **asked)
    assert outcome == (Status.OK, None)
    of = {name: {one.step: one.value for one in found if one.metric == name} for name in METRICS}
    assert set(of["value_loss"]) == {0, 1, 2}
    assert set(of["policy_loss"]) == set(of["gradient_norm"]) == set(of["clip_fraction_low"]) == {2}
    assert of["completions"] == {0: 16, 1: 16, 2: 16}
    assert of["updates"] == {0: 0, 1: 0, 2: 2}
    assert of["kl_reference"][0] == of["kl_reference"][1] == 0
    assert of["heldout_accuracy"][0] == of["heldout_accuracy"][2]
    assert facts["critic_base"]["key"] != facts["base"]["key"]
    assert facts["critic_base"]["process_cpu_s"] > 0
    bases = list((tmp_path / "bases").glob("*.pt"))
    _, _, same = in_process(tmp_path, policy=read_choice("policy", "tiny"))
    assert same["base"]["key"] == facts["critic_base"]["key"]
    assert len(list((tmp_path / "bases").glob("*.pt"))) == len(bases) == 2


def test_later_stages_of_rl_warm_their_critics_too(tmp_path):
    stages = [{"kind": kind, "share": 0.5} for kind in ("sft", "rl")]
    asked = {"steps": 6, "recipe": {"stages": stages, "examples": 4}, "critic_warmup_steps": 2}
    _, found, _ = in_process(tmp_path, "ppo", **asked)
    assert {one.step for one in found if one.metric == "policy_loss"} == {5}
    assert {one.step for one in found if one.metric == "value_loss"} == {3, 4, 5}


FEW_STEPS = [{"kind": kind, "share": 0.25} for kind in ("sft", "rl", "own", "corpus")]
EVERY_KIND = {"stages": FEW_STEPS, "examples": 3, "rollouts": 2}


def test_stages_are_evaluated_where_they_begin(tmp_path):
    outcome, readings, facts = in_process(tmp_path, steps=12, eval_every=5, recipe=EVERY_KIND)
    assert outcome == (Status.OK, None)
    assert facts["stages"] == [{"kind": stage["kind"], "steps": 3} for stage in FEW_STEPS]
    evaluated = {reading.step for reading in readings if reading.metric == "heldout_accuracy"}
    assert evaluated == {0, 3, 5, 6, 9, 10, 12}
    taught = {reading.step: reading.value for reading in readings if reading.metric == "examples"}
    assert set(taught) == {0, 1, 2, 6, 7, 8, 9, 10, 11}
    assert taught[0] == taught[9] == 16
    sampled = {reading.step: reading.value for reading in readings if reading.metric == "completions"}
    assert sampled == dict.fromkeys(range(12), 0) | {3: 16, 4: 16, 5: 16, 6: 32}
    updates = {reading.step: reading.value for reading in readings if reading.metric == "updates"}
    assert {updates[step] for step in (0, 3, 9)} == {2}


def test_a_resumed_run_of_several_stages_ends_as_unbroken(tmp_path):
    steps = {"sft": 14, "own": 2, "preference": 2, "rl": 1, "corpus": 1}
    stages = [{"kind": kind, "share": count / 20} for kind, count in steps.items()]
    asked = {"steps": 20, "eval_every": 20, "checkpoint_seconds": 1e-9, "lr": 0.02, "warmup_updates": 0}
    asked["recipe"] = {"stages": stages, "examples": 10, "rollouts": 8, "preference_beta": 0.1, "rpo_alpha": 1.0}
    _, unbroken, _ = in_process(tmp_path / "unbroken", "ppo", **asked)
    for kept in ("examples_kept", "pairs_kept"):
        assert next(reading.value for reading in unbroken if reading.metric == kept) > 0
    # Before the first step of `own`, and before its second, whose pool is part of the state; then within RL.
    for name, dies_after in (("broken", [16, 4]), ("broken later", [19])):
        for until in dies_after:
            assert in_process(tmp_path / name, "ppo", until=until, **asked)[0] is None
        outcome, resumed, facts = in_process(tmp_path / name, "ppo", **asked)
        assert outcome == (Status.OK, None)
        assert len(facts["resumed_at_steps"]) == len(dies_after)
        assert resumed == unbroken


def test_a_teacher_is_trained_once_and_its_cost_is_recorded(tmp_path):
    asked = {"steps": 12, "recipe": recipe("distill")}
    outcome, readings, facts = in_process(tmp_path, **asked)
    assert outcome == (Status.OK, None)
    assert set(facts["teacher"]) == {"key", "heldout_accuracy", "process_cpu_s"}
    assert facts["teacher"]["process_cpu_s"] > 0
    (left,) = (tmp_path / "teachers").glob("*.pt")
    written = left.stat().st_mtime_ns
    _, again, _ = in_process(tmp_path, **asked)
    assert again == readings
    assert left.stat().st_mtime_ns == written
    in_process(tmp_path, **asked, seed=1)
    assert len(list((tmp_path / "teachers").glob("*.pt"))) == 2


def test_another_teacher_is_another_case():
    asked = ["workload=rl", "recipe=distill", "policy=tiny", "policy@recipe.teacher.policy=medium"]
    (composed,) = compose(asked)
    case = job_of(composed).case
    assert (case.axes["policy"], case.extras["policy@recipe.teacher.policy"]) == ("tiny", "medium")
    assert composed.settings["recipe"]["teacher"]["policy"] == read_choice("policy", "medium")


def test_what_each_stage_came_to_is_a_line_of_the_answer(tmp_path, capsys):
    code, (record,) = run(tmp_path, "recipe=cold_start", "steps=10")
    assert code == 0
    assert record.case.extras["recipe"] == "cold_start"
    said = capsys.readouterr().out
    assert re.search(r"^stages +sft 1: \d+% → \d+%, rl 9: → \d+%$", said, re.MULTILINE)
    assert "2 updates" not in said
    assert "20 updates, 16 given texts" in said


def test_a_loss_that_is_no_number_fails_and_keeps_readings(tmp_path):
    code, (record,) = run(tmp_path, "entropy_coef=1e39")
    assert (code, record.status) == (1, Status.FAILED)
    assert record.reason == "step 0: the gradient of the policy is nan at its update 1"
    assert readings(record, "evaluate", "heldout_accuracy")
    assert readings(record, "step", "completions")


@needs_forks
def test_a_killed_run_goes_on_and_ends_as_the_unbroken_one(tmp_path):
    asked = ["algorithm=ppo", "steps=20", "checkpoint_seconds=0.001"]
    _, unbroken, _ = in_process(tmp_path / "unbroken", "ppo", steps=20)
    broken = tmp_path / "broken"
    with forked(tmp_path / "said", "run", *TINY_RL, *asked, f"hydra.run.dir={broken}") as pid:
        deadline = time.monotonic() + 60
        while not list(broken.glob(f"{CHECKPOINTS}/*.pt")):
            assert time.monotonic() < deadline, "no checkpoint was written"
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), (tmp_path / "said").read_text()
            time.sleep(0.005)
        workers = psutil.Process(forkserver._forkserver._forkserver_pid).children()
        for process in (pid, *(worker.pid for worker in workers)):  # as a kill of the whole group, with its server
            os.kill(process, signal.SIGKILL)
        os.waitpid(pid, 0)
        psutil.wait_procs(workers)
    assert not read_contents([broken]).stored

    code, (resumed,) = run(broken, *asked)
    assert code == 0
    assert resumed.provenance["resumed_at_steps"]
    assert seeded(resumed) == unbroken
    assert not list(broken.glob(f"{CHECKPOINTS}/*"))


def test_a_base_that_is_no_number_fails_the_run_and_says_so(tmp_path):
    outcome, _, _ = in_process(tmp_path, base={"updates": 2, "batch": 2, "lr": 1e38}, warmup_updates=0)
    assert outcome[0] is Status.FAILED
    assert outcome[1].startswith("base: the gradient of the model is nan")


def test_every_precision_begins_as_one_base_model(tmp_path):
    ways = {"float32": {}, "bfloat16": {"dtype": "bfloat16"}, "mixed": {"autocast": True}}
    seen = {way: in_process(tmp_path, steps=1, eval_every=1, **changes)[1:] for way, changes in ways.items()}
    assert len({facts["base"]["key"] for _, facts in seen.values()}) == 1
    assert len({tuple(reading.value for reading in readings) for readings, _ in seen.values()}) == len(ways)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("task=countdown", "there is no setting 'task.digits'"),
        ("lr=nan", "lr must be finite; got nan"),
        ("algorithm=grop", "there is no algorithm 'grop'; did you mean grpo"),
        ("attention.shape=[1,2]", "cannot load [1, 2], which is no dotted name"),
        ("critic_model=tini", "small, smollm2, tiny; got 'tini'; did you mean tiny?"),
        ("critic_warmup_steps=1", "critic_warmup_steps applies to adv_estimator=gae only; got adv_estimator=grpo"),
        (
            "recipe=r2",
            "recipe must be one of base, cold_start, distill, r1, r1_preference, r1_unfiltered, r1_zero, sft",
        ),
    ],
)
def test_nonsense_is_refused_in_one_sentence(tmp_path, capsys, wrong, words):
    code = main([*TINY_RL, wrong, f"hydra.run.dir={tmp_path}"])
    said = capsys.readouterr().err.strip()
    assert code == 2
    assert said.count("\n") == 0
    assert words in said
