"""Trying changes of one line each in a scratch copy of the suite, each in a fork that has what is dear imported."""

import importlib
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def try_all(changes, part, outcome, untouched=()):
    """Print what each change ends as, and give all of it back. `part`: the package that the changes' files lie in.
    `outcome(change, folder)`: status and reason of the case that runs the copy in a folder. `untouched`: modules that
    neither are changed nor import one that is; they are loaded once, from the copy."""
    with tempfile.TemporaryDirectory() as folder:
        for copied in ("suite", "conf"):
            shutil.copytree(ROOT / copied, Path(folder) / copied)
        if untouched:
            sys.path.insert(0, folder)
        for name in untouched:
            importlib.import_module(name)
        loaded = {Path(module.__file__) for module in sys.modules.values() if getattr(module, "__file__", None)}
        changed = {(Path(folder) / "suite" / part / change.file).resolve() for change in changes if change.before}
        assert not changed & loaded, "what is changed must be loaded by the forks alone"
        outcomes = []
        for change in changes:
            with _made(change, Path(folder) / "suite" / part / change.file):
                outcomes.append(_ended(change, folder, outcome))
            print(f"{change.what}: {outcomes[-1]}", flush=True)
        return outcomes


@contextmanager
def _made(change, path):
    text = path.read_text(encoding="utf-8")
    if change.before:
        assert text.count(change.before) == 1, change
    with written(path, text.replace(change.before, change.after) if change.before else text):
        yield


@contextmanager
def written(path, changed):
    """Another text in a file, for a while. Its time is put back too, so that what was compiled of it is good again."""
    text, times = path.read_text(encoding="utf-8"), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_text(changed, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=times)


def _ended(change, folder, outcome):
    ours, theirs = os.pipe()
    if not os.fork():
        # What is compiled of a changed file must not be taken for the unchanged one's.
        sys.dont_write_bytecode = bool(change.before)
        os.write(theirs, outcome(change, folder).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as pipe:
        said = pipe.read()
    os.wait()
    return said
