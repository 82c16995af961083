"""Artifacts that several cases of a sweep need: the first case makes one and leaves it in a file for the others."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from suite.measure.sealed import read_or_warn, read_sealed, write_sealed

KEY_LENGTH = 16
"""Letters of a key in its file's name."""


def cached_artifact(folder: Path, key: str, *, device: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the tensors and plain data of `make`, on the device; cases that come meanwhile wait for it.

    A file that is damaged is made anew, with a BegunAnewWarning.
    """
    path = folder / f"{key[:KEY_LENGTH]}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        artifact = read_or_warn(path, key, device=device)
        if artifact is None:
            write_sealed(path, key, make())
            artifact = read_sealed(path, key, device=device)
    assert artifact is not None
    return artifact
