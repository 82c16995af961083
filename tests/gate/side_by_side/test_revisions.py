"""Revisions as git understands them, and the two trees that are made of them."""

import os
import sys
import venv
from pathlib import Path

import pytest

from suite.gate.output.files import write_judgement
from suite.gate.pytest_benchmark.project import ProjectRevisions
from suite.gate.side_by_side import revisions
from suite.gate.side_by_side.worker_client import WorkerError
from suite.machine.user_cache import INDUCTOR, KERNELS
from tests.gate.judgements import judgement, timing
from tests.gate.repositories import LIGHT_WORKER, Repository, repository


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """Four commits, told apart by what `number` holds."""
    repo = repository(tmp_path_factory.mktemp("revisions") / "a checkout")
    commits = [repo.commit({"number": str(number), "same": "the same"}, f"fix {number}: done") for number in range(4)]
    repo.git("tag", "--annotate", "v1.0", "--message", "released", commits[2])
    repo.git("branch", "issue#7", commits[1])
    repo.git("update-ref", "refs/tags/-n", commits[0])
    return repo


@pytest.mark.parametrize(
    ("revision", "number"),
    [
        ("HEAD", 3),
        ("HEAD~1", 2),
        ("HEAD^", 2),
        ("v1.0", 2),
        ("v1.0~2", 0),
        ("main@{1}", 2),
        ("issue#7", 1),
        ("-n", 0),
        (":/fix 1: d", 1),
    ],
)
def test_a_revision_is_resolved_by_git_and_named_as_typed(repo, tmp_path, revision, number):
    tree = revisions.before(repo.folder, revision, tmp_path)
    assert tree.side.label == revision
    assert (tree.folder / "number").read_text() == str(number)
    assert (tree.folder / ".git").is_dir()


@pytest.mark.parametrize(
    "revision", ["nope", "", "-x", "--all", "^HEAD", "HEAD~1..HEAD", "HEAD:same", "12e4567", "HEAD~9"]
)
def test_what_names_no_commit_is_refused_in_a_sentence(repo, revision):
    with pytest.raises(ValueError, match=r"^against must be a revision that git knows here; got [^\n;]+$"):
        revisions.resolved(repo.folder, revision)


def test_the_checkout_is_found_from_below_and_inside_a_hook(repo, monkeypatch):
    below = repo.folder / "deep"
    below.mkdir(exist_ok=True)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert revisions.repository(below).samefile(repo.folder)


def test_in_a_shallow_clone_the_sentence_tells_how_to_get_more(repo, tmp_path):
    shallow = tmp_path / "shallow"
    repo.git("clone", "--quiet", "--depth", "2", f"file://{repo.folder}", str(shallow))
    with pytest.raises(ValueError, match=r"got 'HEAD~2'; this clone is shallow.*fetch-depth: 0"):
        revisions.before(shallow, "HEAD~2", tmp_path)
    (tmp_path / "into").mkdir()
    assert (revisions.before(shallow, "HEAD~1", tmp_path / "into").folder / "number").read_text() == "2"


def test_a_shallow_clone_may_have_a_revision_off_its_branches(repo, tmp_path):
    """As what `git fetch --depth=1 origin main` brings beside the head of a pull request."""
    shallow = tmp_path / "shallow"
    repo.git("clone", "--quiet", "--depth", "1", f"file://{repo.folder}", str(shallow))
    oldest = repo.git("rev-list", "--max-parents=0", "HEAD")
    Repository(shallow).git("fetch", "--quiet", "--depth=1", "origin", oldest)
    (tmp_path / "into").mkdir()
    tree = revisions.before(shallow, oldest, tmp_path / "into")
    assert (tree.folder / "number").read_text() == "0"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows takes neither such names nor links")
def test_the_newer_tree_is_the_working_tree_as_it_lies_there(tmp_path):
    repo = repository(tmp_path / "repo")
    unchanged = ["kept", "Straße 注意/a name\nof two lines", 'quoted "name"', "run.sh"]
    repo.commit(
        dict.fromkeys([*unchanged, "gone", "gone too", "edited", "staged"], "old") | {".gitignore": "*.secret\n"}
    )
    repo.write({"edited": "new", "staged": "new", "added": "new", "Straße 注意/b": "new", "kept.secret": "no"})
    repo.git("add", "staged")
    (repo.folder / "gone").unlink()
    repo.git("rm", "--quiet", "gone too")
    (repo.folder / "run.sh").chmod(0o755)
    (repo.folder / "link").symlink_to("kept")
    (repo.folder / "dangling").symlink_to("nowhere")
    (repo.folder / "link to a folder").symlink_to("Straße 注意")
    os.utime(repo.folder / "kept", (1, 1))  # git would like to note in its index that it is still the same
    digest = repo.digest()

    tree = revisions.after(repo.folder, tmp_path)

    assert (tree.side.label, tree.side.commit, tree.side.dirty) == ("working tree", repo.git("rev-parse", "HEAD"), True)
    paths = {str(path.relative_to(tree.folder)): path for path in tree.folder.rglob("*")}
    links = {name: str(path.readlink()) for name, path in paths.items() if path.is_symlink()}
    files = {name: path.read_text() for name, path in paths.items() if path.is_file() and name not in links}
    assert files == {
        **dict.fromkeys(unchanged, "old"),
        **dict.fromkeys(["edited", "staged", "added", "Straße 注意/b"], "new"),
        ".gitignore": "*.secret\n",
    }
    assert links == {"link": "kept", "dangling": "nowhere", "link to a folder": "Straße 注意"}
    assert os.access(paths["run.sh"], os.X_OK)
    assert repo.digest() == digest


def test_an_unchanged_tree_is_not_dirty_and_runs_no_hook(tmp_path, monkeypatch):
    repo = repository(tmp_path / "repo")
    repo.commit({"kept": "old"})
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "config").write_text(f'[core]\nhooksPath = "{hooks}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    os.utime(repo.folder / "kept", (1, 1))
    digest = repo.digest()
    revisions.before(repo.folder, "HEAD", tmp_path)
    assert not revisions.after(repo.folder, tmp_path).side.dirty
    assert repo.digest() == digest
    assert not (tmp_path / "ran").exists()


def test_the_gates_own_results_are_no_change_of_the_tree(tmp_path):
    repo = repository(tmp_path / "repo")
    repo.commit({"kept": "old"})
    write_judgement(judgement(timing()), repo.folder / "results" / "gate" / "20260301T100000Z", {"rounds.csv.gz": b""})
    assert not revisions.after(repo.folder, tmp_path / "own").side.dirty
    repo.write({"results/gate/notes": "mine"})
    assert revisions.after(repo.folder, tmp_path / "mine").side.dirty


def test_a_repository_without_a_commit_is_refused(tmp_path):
    repo = repository(tmp_path / "repo")
    with pytest.raises(ValueError, match="got 'HEAD'"):
        revisions.after(repo.folder, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot")
@pytest.mark.parametrize("found_by", ["PYTHONPATH", "a .pth file"])
def test_no_file_of_a_tree_runs_before_the_clocks_are_bound(tmp_path, monkeypatch, found_by):
    """As where a checkout is installed editable: Python would run its sitecustomize.py, and find its queue.py first."""
    patch = "import time\nread = time.thread_time\ntime.thread_time = lambda: read() / 10\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    (tmp_path / "queue.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "suite/gate/workers").mkdir(parents=True)
    for name in ("case_worker.py", "worker_loop.py"):
        (tmp_path / "suite/gate/workers" / name).write_text("raise SystemExit('nor this one')")
    (tmp_path / "cases.json").write_text('{"cases": {}}')
    python = sys.executable
    if found_by == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    else:
        python = environment_with(tmp_path / "environment", tmp_path)
    monkeypatch.setattr(revisions, "WORKER", LIGHT_WORKER)
    trees = revisions.Revisions(trees=(tmp_path, tmp_path), logs=tmp_path, python=python)
    with trees.launched() as workers:
        hello = workers[0].hello
    assert hello["clocks"] == ["builtin_function_or_method"] * 3
    assert hello["now"] == "function"  # so it did run, and too late


def environment_with(folder, path):
    """The Python of a virtual environment in which a .pth file names a path."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "editable.pth").write_text(f"{path}\n")
    return str(folder / "bin" / "python")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tree: (tree / "code.py").write_text("slow"), r"code\.py of the older revision was changed"),
        (lambda tree: touched(tree / "code.py", "CODE"), r"code\.py of the older revision was changed"),
        (lambda tree: (tree / "code.py").unlink(), r"code\.py of the older revision was changed"),
        (lambda tree: (tree / "torch.py").touch(), r"torch\.py was added to the older revision"),
        (lambda tree: (tree / "written").touch(), None),
    ],
)
def test_whoever_writes_into_the_older_tree_is_found(tmp_path, change, said):
    (tmp_path / "code.py").write_text("code")
    trees = revisions.Revisions(trees=(tmp_path, tmp_path), logs=tmp_path, older_files=revisions.file_states(tmp_path))
    trees.check_older_files()
    change(tmp_path)
    if said is None:
        trees.check_older_files()
        return
    with pytest.raises(WorkerError, match=said):
        trees.check_older_files()
    with pytest.raises(WorkerError, match=said), trees.launched():
        raise AssertionError


def touched(path, text):
    """Write as much as there was, and put the time back."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("kind", ["suite", "pytest"])
def test_the_workers_of_a_side_have_kernels_of_their_own(tmp_path, monkeypatch, kind):
    monkeypatch.setenv(INDUCTOR, str(tmp_path / "the user's"))
    trees = tuple(tmp_path / name for name in revisions.FOLDERS)
    for tree in trees:
        tree.mkdir()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "${KERNELS}" >&2; echo "${INDUCTOR}" >&2\n')
    python.chmod(0o700)
    if kind == "suite":
        both = revisions.Revisions(trees=trees, logs=tmp_path, python=str(python))
    else:
        both = ProjectRevisions(trees=trees, logs=tmp_path, python=str(python), folder=".", checkout=tmp_path)
    sides = [[kernels_of(both, side) for launch in range(2)] for side in range(2)]
    assert len(sides[0][0]) == 2
    for first, second in sides:
        assert first == second
        assert all(folder.is_relative_to(tmp_path) for folder in first)
    assert not set(sides[0][0]) & {*sides[1][0], tmp_path / "the user's"}
    assert [*map(len, map(str, sides[0][0]))] == [*map(len, map(str, sides[1][0]))]


def kernels_of(both, side):
    """The folders of kernels that a worker of this side is given."""
    with both.start(side):
        pass  # whose end is waited for
    return [*map(Path, (both.logs / f"{revisions.SIDES[side]}.log").read_text().splitlines())]


def test_a_large_file_that_is_copied_is_named(tmp_path, monkeypatch, capsys):
    made = repository(tmp_path / "checkout")
    made.commit({"small": "x", ".gitignore": "ignored"})
    made.write({"large": "x" * 1001, "ignored": "x" * 1001})
    monkeypatch.setattr(revisions, "LARGE_BYTES", 1000)
    revisions.after(made.folder, tmp_path / "into")
    (line,) = capsys.readouterr().err.splitlines()
    assert "large has " in line
