"""No file that the suite reads runs code (SECURITY.md): a call that could do so stands in few places, for a reason."""

import ast
from collections import Counter
from pathlib import Path

SUITE = Path(__file__).resolve().parents[1] / "suite"
NEVER = {"eval", "exec", "shelve.open", "joblib.load", "yaml.full_load", "yaml.unsafe_load"}
NEVER |= {f"{module}.{name}" for module in ("pickle", "marshal") for name in ("load", "loads")}
# Calls that run no code where this argument stands, as written here or, where it is None, in whatever form.
ONLY_WITH = {
    "torch.load": ("weights_only", "True"),
    "extract": ("filter", "'data'"),
    "extractall": ("filter", "'data'"),
}
ONLY_WITH |= {"yaml.load": ("Loader", None), "yaml.load_all": ("Loader", None)}
ONLY_WITHOUT = ("shell", "allow_pickle")
ALLOWED = {
    "run/launchers/ray.py pickle.loads": 2,  # what processes of one Ray cluster send each other: their code runs with
    "run/launchers/remote.py pickle.loads": 3,  # our rights anyway
}
SAFE_LOADERS = {"_LOADER", "_Texts if as_texts else _Plain"}
"""Those of configuration/files.py and configuration/untrusted.py: PyYAML's safe and base loaders, or made from them."""


def code_runners(text):
    """Each call in this source that could run code, by its name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "marshal", "shelve"):
            yield node.module  # whose functions must be called by their full names
        if not isinstance(node, ast.Call):
            continue
        name, named = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        argument, safe = ONLY_WITH.get(name) or ONLY_WITH.get(name.rpartition(".")[2], (None, None))
        has_safe = argument is None or named.get(argument) in (SAFE_LOADERS if safe is None else {safe})
        if name in NEVER or not has_safe or any(named.get(word, "False") != "False" for word in ONLY_WITHOUT):
            yield name


def test_no_call_that_could_run_code_stands_elsewhere():
    calls = Counter()
    for path in SUITE.rglob("*.py"):
        place = path.relative_to(SUITE).as_posix()
        calls.update(f"{place} {name}" for name in code_runners(path.read_text(encoding="utf-8")))
    assert calls == ALLOWED


def test_each_call_that_could_run_code_is_seen():
    unsafe = """pickle.loads(a); eval(a); torch.load(a); yaml.load(a, Loader=yaml.Loader); tar.extractall(a)
from pickle import loads; run(a, shell=True); np.load(a, allow_pickle=True)"""
    assert len(list(code_runners(unsafe))) == 8
    assert not list(code_runners("tar.extract(a, b, filter='data'); model.eval(); yaml.safe_load(a); registry.load(a)"))
