"""No setting is dropped: what is named and not used is refused, for every workload and every setting that is shared."""

import pytest

from suite.commands.run import main
from suite.configuration.files import choices, locate, read_yaml
from suite.run.compose.composer import compose
from suite.run.compose.point import OF_EVERY_PLAN, has_use_for, unused_settings, used_by
from suite.run.job import job_of
from tests.commands.test_run import ELSEWHERE, FOREIGN, SMALL, cases

APPLICABLE = {
    "attention": ["device=cuda", "lengths=zipf", "batch=2"],
    "projection": ["hardware=h20-96gb", "lengths=zipf", "batch=2"],
    "capacity": ["hardware=h200-sxm-141gb"],
    "decode": ["device=cuda"],
    "rl": ["algorithm=ppo", "device=cuda"],
    "quality": ["device=cuda"],
    "rl_memory": ["algorithm=ppo"],
    "compress": ["method=svd", "device=cuda"],
}
"""Under which as many settings as possible apply."""
NOT_IN_A_PLAN = {
    "measure": "the runner repeats by it",
    "profile": "the runner traces",
    "price_per_device_hour": "a cost is computed from it on read",
    "telemetry": "the parent watches",
    "matmul_precision": "set around every case",
    "backend": "located by the attention workload",
    "algorithm": "a file of settings that are read",
    "trial": "a tuned sweep's settings are drawn by it",
    "rank": "a sweep of the best trials takes its settings by it",
}


class Watched(dict):
    """Settings that know which of them were read."""

    def __init__(self, settings):
        super().__init__(settings)
        self.read = set()

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)


def point_of(workload):
    (point,) = compose([f"workload={workload}", *APPLICABLE.get(workload, [])])
    return point


@pytest.mark.parametrize("workload", choices("workload"))
def test_a_workload_reads_what_it_says_it_uses_and_nothing_else(workload):
    point = point_of(workload)
    settings = Watched(job_of(point).settings)
    locate(settings["workload"]["plan"])(settings)
    read = settings.read - {"workload"}
    told = used_by(settings["workload"]).union(key.partition(".")[0] for key in point.of_workload)
    told -= set(settings["workload"].get("unused", ()))
    assert told - read <= set(NOT_IN_A_PLAN)
    assert read - told <= set(OF_EVERY_PLAN)
    # And whatever else workloads share is refused when it is named, and null unless plans ask for it.
    shared = {*read_yaml("run.yaml"), *read_yaml("run.yaml")["hydra"]} - {"defaults", "parts", "leave_out"}
    shared |= {"attention", "geometry", "backend", "hardware", "task", "policy", "recipe", "algorithm"}
    for name in shared - {
        "hydra",
        "resume",
        "report",
        "workers",
        "spread",
        "objective",
        "help",
        "output_subdir",
        "job",
        "run",
        "sweep",
    }:
        assert has_use_for(point, name) == (name in told), name
    nulls = {name for name in unused_settings(point) if settings[name] is not None}
    assert nulls == set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["workload=rl", "geometry=tiny"], "geometry is not a setting of workload=rl; set policy instead"),
        (["workload=rl", "geometry.num_heads=8"], "geometry.num_heads is not a setting of workload=rl"),
        (["workload=rl", "profile=true"], "profile is not a setting of workload=rl, which has algorithm, task, policy"),
        (
            ["workload=projection", "hardware=l4", "threads=2"],
            "threads is not a setting of workload=projection, which has",
        ),
        (["workload=projection", "hardware=l4", "device=cuda"], "set hardware instead"),
        (["workload=rl", "critic_lr=0.1"], "critic_lr applies to adv_estimator=gae only; got adv_estimator=grpo"),
        (["workload=rl", "value_coef=1"], "value_coef applies to critic=shared_trunk only; got critic=own"),
        (["phase=prefill", "query_len=2"], "query_len applies to phase=decode only; got phase=prefill"),
        (["-m", "phase=prefill,train", "query_len=2"], "query_len applies to phase=decode only"),
        (["geometry.vocab_size=9"], "geometry.vocab_size changes nothing under workload=attention"),
        (["algorithm=grpo"], "algorithm is a setting of workload=rl or rl_memory, not of workload=attention"),
        (["task=sort"], "task is a setting of workload=quality or rl"),
        (["hardware=h100"], "hardware is a setting of workload=capacity or projection, not"),
        (["method=svd"], "no setting 'method' of this workload; it is a setting of workload=compress"),
        (
            ["attention=gqa", "attention.kv_lora_rank=4"],
            "it is a setting of attention=gla, mla, mla_absorbed, mla_dsa, mla_expanded or mla_latent",
        ),
        (["attention=gqa", "attention.kv_head=4"], "no setting 'attention.kv_head'; did you mean attention.kv_heads?"),
        (["sequ_len=64"], "there is no setting 'sequ_len'; did you mean seq_len or query_len?"),
        (["geometry=deepseek-v2-lit"], "no geometry 'deepseek-v2-lit'; did you mean deepseek-v2-lite"),
        (["-m", "sweep=dem"], "no sweep 'dem'; did you mean demo"),
        (["~backend"], "backend must be one of auto, compiled_eager, cpp, dequantising, eager"),
        (["~measure"], "measure must be one of precise, smoke, standard; got ~measure, which removes it"),
        (["workload=null"], "workload must be one of attention, capacity, compress"),
        (["leave_out=[{phase: decode}]"], "leave_out applies only to a sweep, which needs -m"),
        (["report=true"], "report applies only to a sweep, which needs -m"),
        (["spread=true"], "spread applies only to a sweep, which needs -m"),
        (["objective=layer.latency_s"], "objective applies only to a sweep, which needs -m"),
        (["hydra.run.dir="], "hydra.run.dir must name a folder for the records; got ''"),
        (["-m", "hydra.sweep.dir=' '"], "hydra.sweep.dir must name a folder for the records; got ' '"),
        (["hydra.run.dir=null"], "hydra.run.dir must name a folder for the records; got None"),
        (["measure.max_steps=2"], "must be at least measure.min_steps; got max_steps=2 and min_steps=10"),
        (["attention=atention"], "got 'atention'; did you mean workload=attention?"),
        (["phase=decod"], "got 'decod'; did you mean decode?"),
        (["seqs=8q1m"], "suite run: seqs must be groups of <count>q<new tokens>s<all tokens>"),
    ],
)
def test_what_is_named_in_vain_is_refused_in_one_sentence(tmp_path, capsys, arguments, words):
    assert main([*arguments, f"hydra.run.dir={tmp_path}", f"hydra.sweep.dir={tmp_path}"]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said, said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_setting_of_one_workload_is_null_for_the_others():
    jobs = cases("-m", "workload=attention,rl", *SMALL, "batch=2", "profile=true")
    assert [{**job.case.axes, **job.case.extras}["batch"] for job in jobs] == [2, None]
    assert [job.settings["batch"] for job in jobs] == [2, None]


def test_a_sweeps_file_may_name_what_the_command_line_makes_vain(tmp_path):
    folder = tmp_path / "conf" / "sweep"
    folder.mkdir(parents=True)
    (folder / "vain.yaml").write_text("# @package _global_\nhydra: {sweeper: {params: {query_len: '1,2', batch: 2}}}\n")
    arguments = ("-m", f"hydra.searchpath=[file://{tmp_path / 'conf'},file://{FOREIGN / 'conf'}]", "sweep=vain")
    assert {job.case.axes["query_len"] for job in cases(*arguments, *SMALL, "phase=prefill")} == {None}
    (folder / "vain.yaml").write_text("# @package _global_\nhydra: {sweeper: {params: {phase: train, query_len: 2}}}\n")
    with pytest.raises(ValueError, match="query_len applies to phase=decode only"):
        compose([*arguments, *SMALL])


def test_short_names_are_the_same_case_with_the_same_run_key():
    def keys(*arguments):
        return [(job.case.id, job.run_key) for job in cases(*arguments)]

    left_out = "leave_out=[{seq_len: 4k}]"
    short = keys("-m", "workload=projection", "hardware=h100", "dtype=bf16", "seq_len=4k,128k", left_out)
    assert short == keys("workload=projection", "hardware=h100-sxm5-80gb", "dtype=bfloat16", "seq_len=131072")


def test_a_foreign_case_is_told_which_settings_the_suite_reads():
    assert cases(*ELSEWHERE, "workload=behaving", "seq_len=1", "seed=3")
    with pytest.raises(ValueError, match="batch is not a setting of workload=behaving, which has seq_len, measure"):
        cases(*ELSEWHERE, "workload=behaving", "batch=2")
