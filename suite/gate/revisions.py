"""The two trees of a comparison, in a temporary folder: nothing is ever written into the user's checkout or its .git.

The older one is a clone that shares the user's objects (a worktree would leave an entry behind in .git when the gate is
killed); the newer one is a copy of the files as they lie in the working tree, committed or not, so that going on with
the work does not change what is measured.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from suite.gate.verdict import Side
from suite.records.git import git

WORKING_TREE = "working tree"


@dataclass(frozen=True, kw_only=True)
class Tree:
    side: Side
    folder: Path


def repository(start: Path) -> Path:
    """The top of the checkout that a folder lies in. Raises ValueError where it lies in none, and on Windows."""
    if sys.platform == "win32":
        # Its pipes cannot be waited for with a limit, and it counts CPU time in ticks of 15.6 ms.
        raise ValueError("--against and selftest need Linux or macOS; --baseline and --candidate work here")
    try:
        return Path(git(start, "rev-parse", "--show-toplevel"))
    except subprocess.CalledProcessError as error:
        said = " ".join(os.fsdecode(error.stderr or b"").split())
        raise ValueError(f"--against needs a git checkout around this folder; git says {said!r}") from error
    except FileNotFoundError as error:
        raise ValueError("--against needs git, which is not on PATH") from error


def resolved(top: Path, revision: str) -> str:
    """The commit that a revision names, as git understands it. Raises ValueError where it names none."""
    with suppress(subprocess.CalledProcessError):
        # First as typed: what follows `:/` is a text to look for, to its end.
        named = git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
        if not named.startswith("^"):  # so git writes what is to be left out
            return git(top, "rev-parse", "--verify", "--quiet", f"{named}^{{commit}}")
    shallow = git(top, "rev-parse", "--is-shallow-repository") == "true"
    hint = "; this clone is shallow, so fetch more of its history (in a CI checkout: fetch-depth: 0)"
    raise ValueError(f"against must be a revision that git knows here; got {revision!r}{hint * shallow}")


def before(top: Path, revision: str, into: Path) -> Tree:
    """A clone at a revision. Raises OSError where git cannot read all of it."""
    commit = resolved(top, revision)
    folder = into / "before"
    git(top, "clone", "--quiet", "--shared", "--no-checkout", "--", str(top), str(folder))
    git(folder, "checkout", "--quiet", "--detach", commit)
    if gone := git(folder, "ls-files", "--deleted"):  # where an object is damaged, git says so and still ends with 0
        raise OSError(f"git cannot check out all of {revision!r}; among what is missing is {gone.splitlines()[0]}")
    return Tree(side=Side(label=revision, commit=commit), folder=folder)


def after(top: Path, into: Path) -> Tree:
    """A copy of the working tree: all that git tracks or would, as it lies there now."""
    folder = into / "after"
    names = git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate").split("\0")
    for name in filter(None, names):
        source, target = top / name, folder / name
        if source.is_file() or source.is_symlink():  # what is deleted but not yet committed is gone
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    dirty = git(top, "status", "--porcelain") != ""
    return Tree(side=Side(label=WORKING_TREE, commit=resolved(top, "HEAD"), dirty=dirty), folder=folder)
