"""A case's id is its identity: readable, in one order, and equal for equal cases."""

import pytest

from suite.configuration.files import in_phase, read_choice
from suite.machine import environment
from suite.machine.nvml import FoundGpus, ShownGpu, State
from suite.records import labels
from suite.records.case import Case, case_from, comparable, run_key, without_inapplicable

SETTINGS = {
    "workload": {
        "name": "attention",
        "axes": ["attention", "phase", "query_len"],
        "only": {"query_len": {"phase": "decode"}},
    },
    "attention": {"kv_lora_rank": 256},
    "phase": "prefill",
    "query_len": 1,
    "seed": 3,
    "measure": {"precision": 0.02},
}


def test_a_later_setting_at_its_former_value_counts_as_absent():
    old = {**SETTINGS, "task": {"digits": 4}}
    recipe = {"stages": [{"kind": "rl", "share": 1.0}]}
    new = {**old, "task": {"digits": 4, "corrections": 0.0}, "recipe": recipe, "reward_source": "ground_truth"}
    new |= {"attention": {**old["attention"], "latent_norm": True, "latent": "trained"}, "embeddings": "trained"}
    assert comparable(new) == comparable(old)
    for changed in (
        {"reward_source": "majority"},
        {"recipe": {"stages": []}},
        {"task": {"digits": 4, "corrections": 1}},
        {"attention": {**new["attention"], "latent": "frozen"}},
        {"embeddings": "frozen"},
    ):
        assert comparable({**new, **changed}) != comparable(old)


def test_what_cases_share_is_said_in_the_words_of_an_id():
    first = Case(workload="rl", axes={"seed": 0, "lam": None}, extras={"steps": 2, "base.lr": 0.1})
    second = Case(workload="rl", axes={"seed": 1, "lam": None}, extras={"steps": 2, "base.lr": 0.1})
    assert labels.written(labels.shared([first.settings, second.settings])) == "workload=rl base.lr=0.1 steps=2"
    assert labels.written(labels.shared([first.settings])) == "workload=rl seed=0 base.lr=0.1 steps=2"


def test_an_axis_that_does_not_apply_is_null():
    case = case_from(without_inapplicable(SETTINGS), chosen={"attention": "mla"}, named=[])
    assert case.id == "workload=attention attention=mla phase=prefill query_len=null"


def test_absorbed_mla_is_one_case_in_decode_by_both_names():
    ids = {}
    for phase in ("decode", "prefill", "train"):
        for variant in ("mla", "mla_absorbed", "mla_latent"):
            settings = without_inapplicable(
                {**SETTINGS, "attention": read_choice("attention", variant), "phase": phase}
            )
            case = case_from(settings, chosen={"attention": variant}, named=[])
            ids.setdefault((phase, case.id), set()).add(variant)
    assert sorted(map(sorted, ids.values())) == sorted(
        [["mla", "mla_absorbed"], *[["mla"], ["mla_absorbed"]] * 2, *[["mla_latent"]] * 3]
    )
    both = [
        run_key(Case(workload="attention", axes={}), in_phase(read_choice("attention", name), "decode"))
        for name in ("mla", "mla_absorbed")
    ]
    assert both[0] == both[1]


def test_an_axis_of_several_values_of_another_is_null_elsewhere():
    workload = {**SETTINGS["workload"], "only": {"query_len": {"phase": ["decode", "verify"]}}}
    for phase, query_len in (("prefill", None), ("decode", 1), ("verify", 1)):
        settings = {**SETTINGS, "workload": workload, "phase": phase}
        assert without_inapplicable(settings)["query_len"] == query_len


def test_named_settings_join_the_id_but_ways_of_measuring_do_not():
    case = case_from(
        without_inapplicable(SETTINGS),
        chosen={"attention": "mla"},
        named=["seed", "attention.kv_lora_rank", "measure.precision", "phase"],
    )
    assert case.id.endswith("query_len=null attention.kv_lora_rank=256 seed=3")


def test_the_run_key_follows_the_settings():
    case = Case(workload="attention", axes={})
    assert run_key(case, {"a": 1}) == run_key(case, {"a": 1})
    assert run_key(case, {"a": 1}) != run_key(case, {"a": 2})


ANOTHER_GPU = FoundGpus(state=State.MEASURED, why="", gpus=[ShownGpu(label="gpu0", state="measured", uuid="GPU-1")])


@pytest.mark.parametrize(
    ("part", "other", "is_other_machine", "is_other_kind"),
    [
        ("_installation", "another installation", True, False),
        ("cpu_model", "another CPU", True, True),
        ("cpu_family", "26.1.1", True, True),
        ("psutil.cpu_count", 4096, True, True),
        ("gpus", ANOTHER_GPU, True, True),
        ("gpu_names", ["another GPU"], False, True),
    ],
)
def test_the_run_key_follows_the_machine_or_its_kind(part, other, is_other_machine, is_other_kind, monkeypatch):
    case = Case(workload="attention", axes={})
    before = [run_key(case, {}, spread=spread) for spread in (False, True)]
    assert before[0] != before[1]
    monkeypatch.setattr(f"suite.machine.environment.{part}", lambda: other)
    elsewhere = keys_anew(case)
    monkeypatch.undo()
    assert [key != ours for key, ours in zip(elsewhere, before, strict=True)] == [is_other_machine, is_other_kind]
    assert keys_anew(case) == before


def keys_anew(case):
    """The run keys of a case on this machine and on its kind, which are looked at again."""
    for cached in (environment.machine_id, environment.machine_kind):
        cached.cache_clear()
    return [run_key(case, {}, spread=spread) for spread in (False, True)]


def test_a_machine_stays_itself_under_another_host_name(monkeypatch):
    before = environment.machine_id()
    monkeypatch.setattr("platform.node", lambda: "3f2a91c04d1b")
    environment.machine_id.cache_clear()
    assert environment.machine_id() == before


def test_containers_of_one_image_on_two_nodes_are_two_machines(monkeypatch, tmp_path):
    (tmp_path / "machine-id").write_text("baked into the image\n")
    monkeypatch.setattr(environment, "MACHINE_ID", str(tmp_path / "machine-id"))
    monkeypatch.setattr(environment, "CONTAINER_MARKS", (str(tmp_path),))
    seen = []
    for boot in ("one", "another"):
        (tmp_path / "boot_id").write_text(boot)
        monkeypatch.setattr(environment, "BOOT_ID", str(tmp_path / "boot_id"))
        environment.machine_id.cache_clear()
        seen.append(environment.machine_id())
    monkeypatch.undo()
    environment.machine_id.cache_clear()
    assert seen[0] != seen[1]


def test_ways_of_measuring_do_not_count_between_records():
    later = {**SETTINGS, "measure": {"precision": 1}, "workload": {**SETTINGS["workload"], "unused": ["hardware"]}}
    later["attention"] = {**SETTINGS["attention"], "fixed": []}
    assert comparable(later) == comparable(SETTINGS)
    assert comparable({**SETTINGS, "seed": 4}) != comparable(SETTINGS)
    assert comparable({**SETTINGS, "matmul_precision": None}) == comparable(SETTINGS), "it does not apply"
    assert comparable({**SETTINGS, "matmul_precision": "high"}) != comparable(SETTINGS)
