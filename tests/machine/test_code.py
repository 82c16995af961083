"""Changed code re-runs the cases that reach it, and no others."""

import pytest

from suite.machine import code
from suite.machine.code import code_digest, code_named_in
from suite.records.case import Case, run_key

LAYER, ALONE = "lent_package.layer.Layer", "lent_package.alone.Layer"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose layer imports its kernel, a module beside it and one of the standard library."""
    folder = tmp_path / "lent_package"
    folder.mkdir()
    for name in ("__init__", "alone", "kernel", "../lent_beside"):
        (folder / f"{name}.py").write_text("")
    (folder / "layer.py").write_text("import json, lent_beside\ndef build():\n    from .kernel import thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "RUNS_EVERY_CASE", "lent_package.alone")  # the suite's own reaches a thousand modules
    return folder


def forget_code():
    """As a new process, which reads all code anew."""
    for cached in (code._digest, code._source, code._imports, code._is_local):
        cached.cache_clear()


def digest(*dotted):
    forget_code()
    return code_digest({"workload": {"plan": ALONE}, "attention": list(dotted)})


def test_names_are_found_wherever_the_settings_hold_them():
    settings = {"a": {"_target_": "x.y.Z"}, "b": ["p.q", {"c": "r.s"}], "d": "plain", "e": "1.5", "f": "two words.x"}
    assert code_named_in(settings) == {"x.y.Z", "p.q", "r.s"}


@pytest.mark.parametrize("changed", ["layer", "kernel", "__init__", "../lent_beside"])
def test_a_change_where_imports_lead_changes_digest_and_key(package, changed):
    case, settings = Case(workload="w", axes={}), {"workload": {"_target_": LAYER}}
    before, key = digest(LAYER), run_key(case, settings)
    alone = digest(ALONE)
    assert (digest(LAYER), run_key(case, settings)) == (before, key)
    with (package / f"{changed}.py").open("a") as file:
        file.write("changed = True\n")
    assert digest(LAYER) != before
    assert run_key(case, settings) != key
    assert (digest(ALONE) == alone) == (changed != "__init__")


def test_a_file_that_is_no_python_or_absent_stops_nothing(package):
    (package / "layer.py").write_text("this is no Python")
    assert digest(LAYER, "no.such.thing") != digest(ALONE)


def test_another_version_of_an_import_changes_the_digest(package, monkeypatch):
    (package / "layer.py").write_text("import torch\n")
    digests = []
    for version in ("1.0", "2.0"):
        monkeypatch.setattr(code, "installed_version", {"torch": version}.get)
        digests.append((digest(LAYER), digest(ALONE)))
    (layer, alone), (layer_later, alone_later) = digests
    assert layer != layer_later
    assert alone == alone_later


def test_what_is_not_reached_by_a_workload_does_not_re_run_it():
    plan = "suite.theory.layers.attention_plan.AttentionPlan"
    reached = code_digest({"workload": {"_target_": "suite.attention.workload.AttentionWorkload", "plan": plan}})
    assert reached != code_digest({"workload": {"plan": plan}})  # a projection runs no kernel
