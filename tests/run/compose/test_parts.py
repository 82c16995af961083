"""A sweep of several parts: what they compose to together, what wins, and what is refused."""

import pytest

from suite.commands.run import main
from suite.records.stores.store import read_contents
from suite.run.compose.composer import checked_parts, compose, part_overrides
from suite.run.compose.point import without_left_out
from suite.run.job import job_of
from tests.commands.test_run import FOREIGN, SMALL


@pytest.fixture
def sweep(tmp_path):
    """The arguments that run a sweep's file of these lines."""

    def written(*lines):
        path = tmp_path / "conf" / "sweep" / "several.yaml"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(("# @package _global_", *lines)))
        places = f"hydra.searchpath=[file://{tmp_path / 'conf'},file://{FOREIGN / 'conf'}]"
        return ("-m", places, f"hydra.sweep.dir={tmp_path / 'results'}", "sweep=several")

    return written


def named(*arguments, among=("attention", "batch", "attention.kv_lora_rank")):
    """What each case's id says of some settings, in the order of the cases."""
    jobs = [job_of(one) for one in without_left_out(compose(arguments))]
    assert not any("parts" in job.case.id or "parts" in job.settings for job in jobs)
    ids = [{**job.case.axes, **job.case.extras}.items() for job in jobs]
    return [" ".join(f"{name}={value}" for name, value in pairs if name in among) for pairs in ids]


def test_parts_are_cross_products_and_share_the_points_left_out(sweep):
    arguments = sweep(
        "parts: [{attention: 'mha,mla', attention.kv_lora_rank: '8,16'}, {attention: gqa, seq_len: 64}]",
        "leave_out: [{attention.kv_lora_rank: 8}, {attention.kv_lora_rank: null, batch: 2}]",
        "hydra: {sweeper: {params: {batch: 3}}}",
    )
    assert named(*arguments, "geometry=tiny") == [
        "attention=mha batch=3 attention.kv_lora_rank=None",
        "attention=mha batch=3 attention.kv_lora_rank=None",
        "attention=mla batch=3 attention.kv_lora_rank=16",
        "attention=gqa batch=3",
    ]


def test_seeds_that_parts_share_are_outermost(sweep):
    arguments = sweep("parts: [{batch: '1,2'}, {batch: 4}]", "hydra: {sweeper: {params: {seed: '7,3'}}}")
    found = named(*arguments, *SMALL, among=("batch", "seed"))
    assert found == [f"batch={batch} seed={seed}" for seed in (7, 3) for batch in (1, 2, 4)]


def test_parts_run_as_one_sweep_and_a_shared_case_runs_once(sweep, tmp_path):
    arguments = sweep("parts: [{seq_len: '1,2'}, {workload: wrong, seq_len: 2}]", "seed: 5")
    assert main([*arguments, "measure=smoke", "workload=behaving"]) == 0
    assert sorted(stored.record.case.id for stored in read_contents([tmp_path / "results"]).stored) == [
        "workload=behaving seq_len=1 seed=5",
        "workload=behaving seq_len=2 seed=5",
    ]


def test_the_command_line_wins_and_unknown_settings_are_null(sweep):
    arguments = sweep("parts: [{attention: mla, attention.kv_lora_rank: '8,16', batch: '1,2'}]")
    narrowed = (*SMALL, "attention=mha", "batch=4", "leave_out=[{attention.kv_lora_rank: 8}]")
    assert set(named(*arguments, *narrowed)) == {"attention=mha batch=4 attention.kv_lora_rank=None"}


def test_the_command_line_wins_over_a_key_that_a_part_adds():
    part = {"seed": 1, "++task.corrections": "0.0,0.5", "lora_rank": None, "checkpointing": True}
    assert part_overrides(part, typed={"task.corrections"}) == ["seed=1", "lora_rank=null", "checkpointing=true"]


def test_a_setting_some_parts_know_leaves_the_others_as_they_are(sweep):
    arguments = sweep(
        "defaults: [override /workload: rl]", "parts: [{task: sort, task.digits: '3,4'}, {task: countdown}]"
    )
    among = ("task", "task.digits")
    assert named(*arguments, "task.digits=2", among=among) == ["task=sort task.digits=2", "task=countdown"]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ("nonsense", "parts must be a list of settings, as .*; got 'nonsense'"),
        ({"task": "sort"}, "parts must be a list of settings"),
        (["task"], "parts must be a list of settings"),
        ([{}], "parts must be a list of settings"),
        ([{"task": "sort"}, {"seed": ""}], "seed in a part must be a value or several, as '0,1,2'; got ''"),
        ([{"seed": [0, 1]}], r"seed in a part must be a value or several, .*; got \[0, 1\]"),
        ([{"hydra.sweep.dir": "elsewhere"}], "must not set hydra.sweep.dir, which applies to the whole sweep"),
        ([{"++sweep": "smoke"}], "must not set .*sweep"),
        ([{"parts": "null"}], "must not set parts"),
    ],
)
def test_what_is_no_list_of_settings_is_refused(parts, words):
    with pytest.raises(ValueError, match=words):
        checked_parts(parts)


@pytest.mark.parametrize(
    ("parts", "more", "words"),
    [
        ("[{nonsense: 1}]", [], "no setting 'nonsense'"),
        ("[{seq_len: 64}, {batch: 0}]", [], "batch must be a whole number of at least 1"),
        ("[{attention: gqa, attention.kv_lora_rank: 8}]", [], "no setting 'attention.kv_lora_rank'"),
        ("[{attention: mha}]", ["attention.kv_lora_rank=8"], "no setting 'attention.kv_lora_rank'"),
        ("[{attention: mla}]", ["leave_out=[{attention.colour: blue}]"], "no setting 'attention.colour'"),
        ("[{batch: 1}]", ["parts=[{batch: 0}]"], "batch must be a whole number of at least 1"),
        ("[{batch: 1}]", ["sweep=several,smoke"], "the parts of a sweep are run alone"),
    ],
)
def test_a_wrong_part_is_refused_before_any_part_runs(sweep, tmp_path, capsys, parts, more, words):
    assert main([*sweep(f"parts: {parts}"), *SMALL, *more]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.rglob("record.json"))


def test_parts_need_m_to_run_and_none_to_be_shown(sweep, tmp_path, capsys):
    arguments = sweep("parts: [{workload: rl, task: 'sort,countdown'}]")
    assert main(arguments[1:]) == 2
    assert "sweep=several runs many cases and needs -m: suite run -m sweep=several" in capsys.readouterr().err
    assert main([*SMALL, "parts=[{batch: 1}]"]) == 2
    assert "parts run many cases and need -m" in capsys.readouterr().err
    assert main([*arguments[1:], "--cfg", "job"]) == 0
    assert capsys.readouterr().out.count("task: sort,countdown") == 1
    assert not (tmp_path / "results").exists()
