"""A change does not alter what it is judged by, unless somebody says that this is meant."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from suite.gate.output.sentences import SETTINGS
from suite.gate.side_by_side import settings as module
from suite.gate.side_by_side.settings import settings_of
from suite.gate.verdict import Outcome

ROOT = Path(__file__).parents[3]
GATE = "suite/gate/__init__.py"
JUDGING = {
    "conf/gate.yaml": "tolerances",
    "results/baseline/accepted.yaml": "acceptances",
    "conf/sweep/gate.yaml": "the sweep",
    "src/normed/conf/sweep/gate.yaml": "the sweep",
    "suite/gate/rules/decision.py": "the judge",
    "suite/machine/plain_text.py": "the judge",
}
OTHERS = ("README.md", "suite/attention/layer.py", "conf/sweep/demo.yaml", "conf/attention/mla.yaml", "noise/a.yaml")


def settings(tmp_path, before, after, *, checkout=ROOT, is_trusted=False):
    for name, files in (("before", before), ("after", after)):
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / name).mkdir(exist_ok=True)
    return settings_of(tmp_path / "before", tmp_path / "after", checkout, "gate", is_trusted=is_trusted)


@pytest.mark.parametrize(("name", "about"), JUDGING.items())
@pytest.mark.parametrize(
    ("before", "after", "how"), [("a", "b", "changed"), (None, "b", "added"), ("a", None, "removed")]
)
def test_what_judges_and_differs_is_named_and_cannot_be_judged(tmp_path, name, about, before, after, how):
    sides = [{GATE: ""} | ({} if text is None else {name: text}) for text in (before, after)]
    found = settings(tmp_path, *sides)
    assert found.differing == (f"{name} ({about}, {how})",)
    (verdict,) = found.verdicts()
    assert (verdict.case, verdict.outcome) == (SETTINGS, Outcome.INCOMPARABLE)
    assert verdict.reason == (
        f"this change alters files that judge it: {name} ({about}, {how}); review them, then pass "
        "--trust-candidate-settings"
    )
    assert found.folder == tmp_path / "before"
    trusted = settings(tmp_path, *sides, is_trusted=True)
    assert (trusted.folder, trusted.verdicts()) == (tmp_path / "after", [])
    (warning,) = [said for said in trusted.warnings(tmp_path / "after") if "settings" in said]
    assert warning == (
        f"--trust-candidate-settings is set, so the working tree's settings judge it: {name} ({about}, {how})"
    )


def test_what_does_not_judge_may_differ(tmp_path, monkeypatch):
    # A judge imports no attention; a process of tests may have.
    judge = {name: loaded for name, loaded in sys.modules.items() if not name.startswith("suite.attention")}
    monkeypatch.setattr(module, "sys", SimpleNamespace(modules=judge))
    found = settings(tmp_path, {GATE: ""} | dict.fromkeys(OTHERS, "a"), {GATE: ""} | dict.fromkeys(OTHERS, "b"))
    assert (found.differing, found.verdicts(), list(found.warnings(tmp_path / "after"))) == ((), [], [])


def test_a_judge_that_lies_elsewhere_is_not_judged(tmp_path):
    before, after = ({GATE: "", "suite/machine/plain_text.py": text} for text in "ab")
    assert settings(tmp_path, before, after, checkout=tmp_path / "after").differing == ()


def test_tolerances_are_another_trees_where_it_holds_the_suite(tmp_path):
    assert settings(tmp_path, {"conf/gate.yaml": "a"}, {"conf/gate.yaml": "b"}).differing == ()
    assert settings(tmp_path, {}, {}).tolerances is None
    settings(tmp_path, {GATE: ""}, {GATE: ""})
    assert settings(tmp_path, {}, {}).tolerances == tmp_path / "before" / "conf/gate.yaml"
    assert settings(tmp_path, {}, {}, is_trusted=True).tolerances == tmp_path / "after" / "conf/gate.yaml"


def test_many_files_are_counted_beyond_the_twelfth(tmp_path):
    after = {GATE: ""} | {f"suite/gate/{number}.py": "" for number in range(20)}
    (verdict,) = settings(tmp_path, {GATE: ""}, after).verdicts()
    assert verdict.reason.count("(the judge, added)") == 12
    assert ", and 8 more; review them" in verdict.reason


def test_acceptances_that_git_ignores_are_said_to_accept_nothing(tmp_path):
    found = settings(tmp_path, {}, {})
    (tmp_path / "checkout/results/baseline").mkdir(parents=True)
    (tmp_path / "checkout/results/baseline/accepted.yaml").touch()
    (said,) = found.warnings(tmp_path / "checkout")
    assert said.startswith("results/baseline/accepted.yaml of the checkout is not in the revision that judges")
