import pytest

from suite.records.labels import (
    differences,
    differing,
    distinct,
    settings_in,
    shared,
    shared_settings,
    short_names,
    written,
)

MHA = {"phase": "decode", "attention": "mha", "seq_len": "2048"}
MLA = {"phase": "decode", "attention": "mla", "seq_len": "2048", "seed": "3"}
PREFILL = {"phase": "prefill", "attention": "mla", "seq_len": "4096"}


def case_id(**settings):
    return written({"workload": "attention", "attention": "mla", "seq_len": "2048", "tp": "null", **settings})


def test_differing_settings_come_in_the_order_of_a_case():
    assert list(differing([MHA, MLA])) == ["attention", "seed"]
    assert list(differing([tuple(MHA.items()), MLA, PREFILL])) == ["phase", "attention", "seq_len", "seed"]
    assert not differing([])
    assert not differing([MHA])


@pytest.mark.parametrize("lacking", [{}, {"seed": ""}])
def test_a_setting_that_a_case_lacks_is_as_an_empty_one(lacking):
    assert list(differing([{"seed": "3"}, lacking])) == ["seed"]
    assert not differing([{"seed": "3"}, lacking], ignoring=[""])


def test_only_cases_that_agree_in_some_settings_are_compared():
    assert list(differing([MHA, MLA, PREFILL], alike_in=["phase"])) == ["attention", "seed"]
    assert differences([MHA, MLA, PREFILL], alike_in=["phase"]) == [
        {"attention": "mha"},
        {"attention": "mla", "seed": "3"},
        {},
    ]


def test_a_setting_that_nobody_names_is_said_by_its_default():
    cases = [{"lr": "0.1"}, {"lr": "0.1", "kl_coef": "0.2"}]
    assert differences(cases, unnamed={"kl_coef": "0.0"}) == [{"kl_coef": "0.0"}, {"kl_coef": "0.2"}]
    assert differences(cases) == [{}, {"kl_coef": "0.2"}]


def test_shared_settings_are_those_of_all_that_apply():
    assert shared([{**MHA, "tp": "null"}, {**MLA, "tp": "null"}]) == {"phase": "decode", "seq_len": "2048"}
    assert shared([MHA]) == MHA


def test_a_short_name_has_the_settings_that_differ():
    mla, gqa = case_id(), case_id(attention="gqa", seq_len=4096)
    assert short_names([mla, gqa]) == {mla: "mla seq_len=2048", gqa: "gqa seq_len=4096"}
    assert list(short_names([mla]).values()) == ["attention mla"]


def test_the_settings_behind_short_names_are_said_once():
    assert shared_settings([case_id(), case_id(attention="gqa")]) == "workload=attention seq_len=2048"


def test_the_name_of_a_test_is_kept_whole_and_is_no_setting():
    test = "tests/benchmarks/test_a.py::test_speed[n=3]"
    assert settings_in(test) == {}
    assert short_names([test, case_id()])[test] == test
    assert shared_settings([test, case_id()]) == ""


def test_a_setting_that_only_one_case_has_tells_it_apart():
    plain, seeded = case_id(), case_id(seed=3)
    assert short_names([plain, seeded]) == {plain: plain, seeded: "seed=3"}


def test_a_setting_that_applies_to_one_side_alone_tells_nothing():
    mla, mha = case_id(tp=2), case_id(attention="mha")
    assert short_names([mla, mha]) == {mla: "mla", mha: "mha"}


def test_names_that_would_be_equal_are_the_ids():
    assert short_names(["a=x", "b=x"]) == {"a=x": "a=x", "b=x": "b=x"}


def test_a_value_may_hold_spaces():
    assert settings_in('a=["b", "c"] d=1') == {"a": '["b", "c"]', "d": "1"}


def test_no_two_names_are_alike():
    assert distinct(["run", "run", "run (2)", "other"]) == ["run", "run (2)", "run (2) (2)", "other"]
