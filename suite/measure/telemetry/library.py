"""Which file a shared library really came from: a record names it by what cannot be faked by a version string."""

import hashlib
from pathlib import Path
from typing import Any

MAPPED = Path("/proc/self/maps")


def loaded_library(name: str) -> dict[str, Any]:
    """Name, size and sha256 of the loaded library whose file name contains `name`; empty where the system has no list.

    Its folder is left out, as a record names no path.
    """
    if not MAPPED.exists():
        return {}
    for line in MAPPED.read_text().splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if name in path.name and path.is_file():
            content = path.read_bytes()
            return {"library": path.name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {}
