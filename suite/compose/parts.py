"""A sweep of several parts: what no single cross product says, such as five seeds of one task and three of another.

A part is a mapping from settings to a value or to several, comma-separated, as on the command line:
`{task: sort, attention: "mha,mla", attention.kv_lora_rank: "8,16"}`.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from suite.records.case import as_typed

OF_THE_WHOLE_SWEEP = ("hydra", "sweep", "parts")


def checked_parts(parts: Any) -> list[dict[str, Any]]:
    """The parts, if they are a list of such mappings. Raises ValueError."""
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) and part for part in parts):
        raise ValueError(f"parts must be a list of settings, as [{{task: sort, seed: '0,1,2'}}]; got {parts!r}")
    for key, value in ((key, value) for part in parts for key, value in part.items()):
        if re.split(r"[./@]", bare(str(key)))[0] in OF_THE_WHOLE_SWEEP:
            raise ValueError(f"a part must not set {key}, which is of the whole sweep")
        if isinstance(value, list | Mapping) or value == "":
            raise ValueError(f"{key} in a part must be a value or several, as '0,1,2'; got {value!r}")
    return [{str(key): value for key, value in part.items()} for part in parts]


def overrides_of(part: Mapping[str, Any], *, typed: Collection[str]) -> list[str]:
    """A part as a command line has it, without what the command line itself sets: `typed`."""
    return [f"{key}={as_typed(value)}" for key, value in part.items() if bare(key) not in typed]


def bare(key: str) -> str:
    """The key without the signs that add it or take it away."""
    return key.lstrip("+~")
