"""What a run of both sides shows of a benchmark whose workload, or the place where it is done, is another one now."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.gate.rules.decision import AFTER, BEFORE
from suite.gate.workers.worker_trees import digest

MOST_PATHS = 12
KEPT = 3.0
"""Times as fast as before from which a call is asked whether its first one did the work for it."""
MOST_DEFERRED = 0.02
"""CPUs that may be busy once the calls have returned; where nothing is left to be done, at most 0.0011 were."""
LOOKS = re.compile(
    rb"PYTEST_\w+|pytest_benchmark|orig_argv|_getframe|currentframe|inspect\.stack|modules\[.__main__|/proc/self|getppid"
    rb"|.pytest. (?:not )?in sys\.modules"
)
"""How code finds out who runs it."""


def doubts(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    trees: tuple[Path, Path],
    files: Sequence[Mapping[str, object]],
) -> Iterator[str]:
    """Yield reasons why the times of two sides are of different things. `files`: of each tree before any code ran."""
    here = {**files[BEFORE], **files[AFTER]}  # what a run makes is no part of its workload
    seen = [name for name in sorted({**old["beside"], **new["beside"]}) if name in here]
    differing = [
        name for name in seen if len({_digest(*side, name) for side in zip(trees, (old, new), strict=True)}) > 1
    ]
    if differing:
        more = f", and {len(differing) - MOST_PATHS} more" * (len(differing) > MOST_PATHS)
        yield f"it may run or read what differs beside the judged code: {', '.join(differing[:MOST_PATHS])}{more}"
    if old["code"]["ran"] and not new["code"]["ran"]:
        yield f"its call ran {', '.join(old['code']['ran'])} before, and now no code of the revision that is judged"
    once = new["code"]["once"].keys() - old["code"]["once"].keys()
    if once and old["call_s"] > KEPT * new["call_s"] and KEPT * new["first_s"] > old["call_s"]:
        yield f"its first call alone does the work now, as where a result is kept: {', '.join(sorted(once))}"
    if new["deferred"] > max(2 * old["deferred"], MOST_DEFERRED):
        yield (
            f"once its calls have returned, threads or processes that they left work on, for {new['deferred']:.0%} of "
            f"the time, and before for {old['deferred']:.0%}"
        )
    for name, words in _looks(new["code"]["imported"], trees, files):
        yield f"{name} looks now at what runs it: {', '.join(words)}"


def _digest(tree: Path, side: Mapping[str, Any], name: str) -> str:
    """The digest of a file as a side saw it, or as it lies there where that side did not open it."""
    path = tree / name
    return str(side["beside"].get(name, digest(path.read_bytes()) if path.is_file() and not path.is_symlink() else ""))


def _looks(
    modules: Mapping[str, str], trees: tuple[Path, Path], files: Sequence[Mapping[str, object]]
) -> Iterator[tuple[str, list[str]]]:
    """Yield judged files that changed, with the words by which they newly look at their runner."""
    places = [file.removesuffix("__init__.py") for file in modules.values()]
    for name in files[AFTER]:
        paths = [tree / name for tree in trees]
        if name.endswith(".py") and name.startswith(tuple(places)) and not any(path.is_symlink() for path in paths):
            before, after = (path.read_bytes() if path.is_file() else b"" for path in paths)
            if before != after and (words := set(LOOKS.findall(after)) - set(LOOKS.findall(before))):
                yield name, sorted(word.decode(errors="replace") for word in words)
