"""Changed code re-runs the cases that reach it, and no others."""

import sys

import pytest

from suite.records import code
from suite.records.case import Case, run_key
from suite.records.code import code_digest, code_named_in

PLAN = "suite.theory.layers.attention_plan.AttentionPlan"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules, of which the second imports the third; forgets what was read at each digest."""
    folder = tmp_path / "lent_package"
    folder.mkdir()
    for name in ("__init__", "alone", "layer", "kernel"):
        (folder / f"{name}.py").write_text("")
    (folder / "layer.py").write_text("def build():\n    from .kernel import thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def forget_code():
    """As a new process, which reads all code anew."""
    for cached in (code._digest, code._source, code._imports, code._is_local):
        cached.cache_clear()


def digest_of(*dotted):
    forget_code()
    return code_digest({"workload": {"plan": PLAN}, "attention": list(dotted)})


def test_names_are_found_wherever_the_settings_hold_them():
    settings = {"a": {"_target_": "x.y.Z"}, "b": ["p.q", {"c": "r.s"}], "d": "plain", "e": "1.5", "f": "two words.x"}
    assert code_named_in(settings) == {"x.y.Z", "p.q", "r.s"}


@pytest.mark.parametrize("changed", ["layer", "kernel", "__init__"])
def test_a_change_wherever_imports_lead_changes_the_digest(package, changed):
    before = digest_of("lent_package.layer.Layer")
    (package / f"{changed}.py").write_text("changed = True\nfrom .kernel import thing\n")
    assert digest_of("lent_package.layer.Layer") != before


def test_a_change_elsewhere_leaves_the_digest(package):
    before = digest_of("lent_package.layer.Layer")
    (package / "alone.py").write_text("changed = True")
    assert digest_of("lent_package.layer.Layer") == before


def test_a_module_beside_counts_and_the_standard_library_not(package):
    beside = package.parent / "lent_beside.py"
    beside.write_text("")
    (package / "layer.py").write_text("import json, lent_beside\n")
    before = digest_of("lent_package.layer.Layer")
    assert "json" not in sys.modules or digest_of("lent_package.layer.Layer") == before
    beside.write_text("changed = True")
    assert digest_of("lent_package.layer.Layer") != before


def test_a_file_that_is_no_python_or_absent_stops_nothing(package):
    (package / "layer.py").write_text("this is no Python")
    assert digest_of("lent_package.layer.Layer", "no.such.thing") != digest_of("lent_package.alone.Layer")


def test_another_version_of_an_import_changes_the_digest(package, monkeypatch):
    (package / "layer.py").write_text("import torch\n")
    digests = []
    for version in ("1.0", "2.0"):
        monkeypatch.setattr(code, "_version", {"torch": version}.get)
        digests.append([digest_of(f"lent_package.{module}.Layer") for module in ("layer", "alone")])
    (layer, alone), (layer_later, alone_later) = digests
    assert layer != layer_later
    assert alone == alone_later


def test_what_is_not_reached_by_a_workload_does_not_re_run_it():
    reached = code_digest({"workload": {"_target_": "suite.attention.workload.AttentionWorkload", "plan": PLAN}})
    assert reached != code_digest({"workload": {"plan": PLAN}})  # a projection runs no kernel


def test_the_key_follows_the_code(package):
    case, settings = Case(workload="w", axes={}), {"workload": {"_target_": "lent_package.layer.Layer"}}
    digest_of()
    before = run_key(case, settings)
    digest_of()
    assert run_key(case, settings) == before
    (package / "kernel.py").write_text("changed = True")
    digest_of()
    assert run_key(case, settings) != before
