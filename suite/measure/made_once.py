"""What several cases of a sweep need, made by whichever of them comes first and left in a file for the others."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from suite.records.store import PART

KEY_LENGTH = 16
"""Of a key, in the file's name."""


def made_once(folder: Path, key: str, *, device: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What `make` returns, tensors and plain data, on the device; the cases that come meanwhile wait for it."""
    path = folder / f"{key[:KEY_LENGTH]}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            part = path.with_suffix(PART)
            torch.save(make(), part)
            part.replace(path)
        found: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    return found
