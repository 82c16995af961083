"""A case among others is called by what tells it from them."""

from suite.gate.short_names import settings_of, shared_settings, short_names
from tests.gate.judgements import case_id


def test_a_name_has_what_differs_and_numbers_say_of_what_they_are():
    mla, gqa = case_id(), case_id(attention="gqa", seq_len=4096)
    assert short_names([mla, gqa]) == {mla: "mla seq_len=2048", gqa: "gqa seq_len=4096"}


def test_what_all_share_is_said_once_without_settings_that_do_not_apply():
    shared = shared_settings([case_id(), case_id(attention="gqa")])
    assert shared.startswith("workload=attention geometry=deepseek-v2-lite match=heads phase=decode seq_len=2048")
    assert "null" not in shared
    assert "mla" not in shared


def test_a_single_case_is_called_by_its_workload_and_first_axis():
    assert list(short_names([case_id()]).values()) == ["attention mla"]


def test_the_name_of_a_test_is_kept_whole_and_is_no_setting():
    test = "tests/benchmarks/test_a.py::test_speed[n=3]"
    assert settings_of(test) == {}
    assert short_names([test, case_id()])[test] == test
    assert shared_settings([test, case_id()]) == ""


def test_a_setting_that_only_one_case_has_tells_it_apart():
    plain, seeded = case_id(), case_id(seed=3)
    assert short_names([plain, seeded]) == {plain: plain, seeded: "seed=3"}


def test_names_that_would_be_equal_are_the_ids():
    one, other = "a=x", "b=x"
    assert short_names([one, other]) == {one: one, other: other}


def test_a_value_may_hold_spaces():
    assert settings_of('a=["b", "c"] d=1') == {"a": '["b", "c"]', "d": "1"}
