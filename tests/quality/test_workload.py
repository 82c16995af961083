"""A run of quality from the command to its record, and from a kill to the record of the unbroken one."""

import pytest

from suite.commands.run import main
from suite.quality.tasks import tiers
from suite.quality.tasks.two_hop import TwoHop
from suite.records.metrics import METRICS
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.run.compose.composer import compose
from suite.run.job import job_of
from tests.measure import stateful_runs
from tests.quality.cases import TINY_QUALITY, settings


@pytest.fixture(autouse=True)
def _few_are_held_out(monkeypatch):
    monkeypatch.setattr(tiers, "HELD_OUT_CONTEXTS", 4)
    monkeypatch.setattr(TwoHop, "held_out_sequences", 4)


def run(folder, *arguments):
    code = main([*TINY_QUALITY, *arguments, f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"])
    return code, [stored.record for stored in read_contents([folder]).stored]


def in_process(folder, *asked, until=None, **changes):
    """Its outcome, what follows from its seed, and its facts."""
    outcome, readings, facts = stateful_runs.in_process(settings(*asked, **changes), folder, until=until)
    return outcome, [one for one in readings if METRICS[one.metric].seeded], facts


def test_a_run_records_cost_and_accuracy_with_each_head_ablated(tmp_path, capsys):
    code, (record,) = run(tmp_path, "task=tiers", "attention=mha")
    assert (code, record.status) == (0, Status.OK)
    assert {one.metric for one in record.readings} <= set(METRICS)

    def steps(span, metric):
        return [one.step for one in record.readings if (one.span, one.metric) == (span, metric)]

    def value(span, metric):
        return next(one.value for one in record.readings if (one.span, one.metric) == (span, metric))

    named = ["often", "sometimes", "rarely", *(f"attribute {number}" for number in range(1, 7))]
    for span in ("evaluate", *(f"evaluate/{name}" for name in named)):
        assert steps(span, "answer_accuracy") == steps(span, "answer_loss") == [0, 1, 2]
    for name in named:
        assert steps(f"cached/{name}", "linear_probe_accuracy") == [2]
        for head in (0, 1):
            assert steps(f"head_ablation/layer 0 head {head}/{name}", "answer_accuracy") == [2]
    assert {one.step for one in record.readings if one.span.startswith("head_ablation")} == {2}
    assert steps("decode", "latency_s") == [2] * 30
    assert steps("train", "latency_s") == steps("step", "training_loss") == [0, 1]
    assert value("step", "updates") == 2
    assert value("step", "questions") == 2 * 4 * 18
    asked = [value(f"evaluate/{name}", "questions_asked") for name in named]
    assert asked[:3] == [2 * asked[3]] * 3
    assert sum(asked[:3]) == value("evaluate", "questions_asked")
    assert record.provenance["attention_modes"] == {"trained": "GroupedAttention", "decoded": "GroupedAttention"}
    said = capsys.readouterr().out
    assert "often " in said
    assert "288 questions in 4 updates" in said


def test_no_head_is_ablated_where_nobody_asks(tmp_path):
    _, (record,) = run(tmp_path, "task=tiers", "attention=mha", "ablate_heads=false")
    assert {one.span for one in record.readings} >= {"evaluate/rarely", "cached/rarely"}
    assert not [one for one in record.readings if one.span.startswith("head_ablation")]


@pytest.mark.parametrize("task", ["tiers", "two_hop"])
def test_a_run_that_died_twice_ends_as_the_unbroken_one(tmp_path, task):
    asked = {"updates": 4, "eval_every": 1, "checkpoint_seconds": 1e-9}
    (tmp_path / "broken").mkdir()
    _, unbroken, _ = in_process(tmp_path / "unbroken", task, "mla", **asked)
    assert in_process(tmp_path / "broken", task, "mla", until=3, **asked)[0] is None
    assert in_process(tmp_path / "broken", task, "mla", until=4, **asked)[0] is None
    outcome, resumed, facts = in_process(tmp_path / "broken", task, "mla", **asked)
    assert outcome == (Status.OK, None)
    assert len(facts["resumed_at_steps"]) == 2
    assert resumed == unbroken
    assert not (tmp_path / "broken" / "checkpoint.pt").exists()


def test_variants_of_one_seed_are_trained_on_the_same_questions(tmp_path, monkeypatch):
    drawn = {}
    training = tiers.Tiers.training
    for attention in ("mha", "mla"):
        asked = drawn[attention] = []

        def noted(self, *arguments, into=asked):
            questions = training(self, *arguments)
            into.append((questions.tokens_BSK.tolist(), questions.answers_BQ.tolist()))
            return questions

        monkeypatch.setattr(tiers.Tiers, "training", noted)
        in_process(tmp_path, "tiers", attention)
    assert drawn["mha"] == drawn["mla"]
    assert len(drawn["mha"]) == 4


def test_a_loss_that_is_no_number_fails_and_keeps_readings(tmp_path):
    outcome, readings, _ = in_process(tmp_path, lr=1e38, updates=6)
    assert outcome[0] is Status.FAILED
    assert outcome[1].startswith("step ")
    assert "the gradient of the model is nan" in outcome[1]
    assert any(one.metric == "answer_accuracy" for one in readings)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            ["workload=rl", "task=tiers"],
            "workload=rl needs one of its own tasks, such as task=sort; got Tiers, a task of another workload",
        ),
        (["workload=rl", "task=copying"], "task=copying sets updates, which workload=rl does not have"),
    ],
)
def test_a_task_of_another_workload_is_refused_in_one_sentence(capsys, asked, words):
    assert main(asked) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert words in said


def test_the_command_line_wins_over_the_task_over_the_workload():
    def asked(*arguments):
        (composed,) = compose(["workload=quality", *arguments])
        axes = job_of(composed).case.axes
        return axes["updates"], axes["batch"], composed.settings["geometry"]["num_layers"]

    assert asked("task=tiers") == (1200, 32, 1)
    assert asked("task=copying") == (600, 64, 2)
    assert asked("task=copying", "updates=700", "batch=8", "geometry.num_layers=3") == (700, 8, 3)
