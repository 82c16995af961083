import sys
from pathlib import Path

import pytest

from suite.gate.pytest_benchmark.project import find_python, paths_in, prepare
from suite.gate.side_by_side.worker_client import WorkerError
from tests.gate.repositories import repository


def environment(folder, answer):
    """An environment whose Python answers as told."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{answer}\n")
    python.chmod(0o755)
    return python


def test_the_first_python_with_pytest_benchmark_is_taken(tmp_path, monkeypatch):
    repo = repository(tmp_path / "checkout")
    tmp_path = repo.folder
    environment(tmp_path / ".venv", "exit 1")
    environment(tmp_path / "venv", "echo 3.10.1 8.0 5.1.0")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    environment(tmp_path / "active", "echo 3.12.0 8.0 5.1.0")
    found = find_python(None, tmp_path, tmp_path)
    assert (found.path, found.reason) == (str(tmp_path / "venv/bin/python"), "venv of the project")
    assert found.versions == "Python 3.10.1, pytest 8.0, pytest-benchmark 5.1.0"
    repo.git("add", "venv/bin/python")
    found = find_python(None, tmp_path, tmp_path)
    assert found.path == str(tmp_path / "active/bin/python")
    assert found.reason.startswith("the active environment; not by venv of the project, which git tracks")


def test_a_python_that_cannot_run_the_suite_is_refused(tmp_path, monkeypatch):
    old, bare = environment(tmp_path / "old", "echo 3.8.1 7.0 4.0.0"), environment(tmp_path / "bare", "exit 1")
    with pytest.raises(ValueError, match=r"must be 3\.9 or newer; --python is 3\.8\.1"):
        find_python(old, tmp_path, tmp_path)
    with pytest.raises(ValueError, match="cannot import both"):
        find_python(bare, tmp_path, tmp_path)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("PATH", str(bare.parent))
    with pytest.raises(ValueError, match=r"no Python here has .*tried: python on PATH"):
        find_python(None, tmp_path, tmp_path)


def test_modules_of_the_checkout_are_not_probed(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("pytest", "queue"):
        (checkout / f"{name}.py").write_text("raise SystemExit('the checkout was imported')\n__version__ = '1'\n")
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    assert (
        find_python(Path(sys.executable), checkout, checkout).versions.split(", ")[1] == f"pytest {pytest.__version__}"
    )


def test_paths_must_exist_and_become_relative(tmp_path):
    (tmp_path / "test_a.py").touch()
    assert paths_in(tmp_path, [str(tmp_path / "test_a.py") + "::test[x::y-1]"]) == ["test_a.py::test[x::y-1]"]
    with pytest.raises(ValueError, match=r"that exists here; got 'test_b\.py::test'"):
        paths_in(tmp_path, ["test_b.py::test"])


def test_a_preparation_that_fails_says_where_and_why(tmp_path):
    trees = [tmp_path / name for name in ("one", "two")]
    for tree in trees:
        tree.mkdir()
    (trees[0] / "is_first").touch()
    found = find_python(environment(tmp_path / "venv", f'exec {sys.executable} "$@"'), tmp_path, tmp_path)
    with pytest.raises(WorkerError, match="failed in the newer revision with exit code 3: no compiler"):
        prepare("touch made; test -e is_first || { echo no compiler; exit 3; }", trees, tmp_path, found)
    assert all((tree / "made").exists() for tree in trees)
