"""No file that the suite reads runs code: each call that could is listed here, with its reason."""

import ast
from collections import Counter
from pathlib import Path

import pytest

SUITE = Path(__file__).resolve().parents[1] / "suite"
RUNS_CODE = {"eval", "exec"} | {f"{module}.{name}" for module in ("pickle", "marshal") for name in ("load", "loads")}
RUNS_CODE |= {"joblib.load", "np.load", "numpy.load", "shelve.open", "torch.load"}
RUNS_CODE |= {f"yaml.{name}" for name in ("load", "load_all", "full_load", "unsafe_load")}
MAY_RUN = """
    configuration/files.py yaml.load(path.read_text(encoding='utf-8'), Loader=_LOADER)
    configuration/untrusted.py yaml.load(content, Loader=_Texts if as_texts else _Plain)
    measure/sealed.py torch.load(_FilePart(file, file.tell()), weights_only=True, map_location=device)
    run/launchers/ray.py pickle.loads(content)
    run/launchers/ray.py pickle.loads(content)
    run/launchers/remote.py pickle.loads(errand)
    run/launchers/remote.py pickle.loads(errands)
    run/launchers/remote.py pickle.loads(terms)
    """
"""Loaders of YAML that are safe ones, tensors alone, and what processes of one Ray cluster send each other, whose code
runs with our rights anyway (SECURITY.md)."""


def code_runners(path, top=SUITE):
    """Each call of a file that can run code, as `file call`."""
    text = path.read_text(encoding="utf-8")
    if not any(f"{name}(" in text for name in RUNS_CODE):  # to parse all 500 takes seconds
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in RUNS_CODE:
            yield f"{path.relative_to(top).as_posix()} {ast.unparse(node)}"


def test_every_call_that_could_run_code_is_listed_with_a_reason():
    listed = Counter(line.strip() for line in MAY_RUN.strip().splitlines())
    assert Counter(call for path in SUITE.rglob("*.py") for call in code_runners(path)) == listed


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("pickle.loads(text)", 1),
        ("torch.load(path)", 1),
        ("yaml.load(text, Loader=yaml.Loader)", 1),
        ("yaml.safe_load(text)", 0),
        ("registry.load(name)", 0),
        ("eval(text)", 1),
        ("model.eval()", 0),
    ],
)
def test_what_could_run_code_is_seen(tmp_path, line, count):
    (tmp_path / "some.py").write_text(line)
    assert len(list(code_runners(tmp_path / "some.py", tmp_path))) == count
