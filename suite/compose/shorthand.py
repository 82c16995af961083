"""Shorthand for settings: an alias of an option, `dtype=bf16`, `seq_len=4k`."""

import re
from collections.abc import Mapping
from typing import Any

from suite.configuration.files import choices, full_name

OPTIONS = re.compile(r"(?P<before>\+{0,2}(?P<group>\w+)=)(?P<names>[\w.,-]+)")
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
OF_TOKENS = re.compile(r"(_len|_length|_tokens)$|^window$")
"""Settings that count tokens, by their names."""
THOUSANDS = re.compile(r"(\d{1,15})([kKmM])")


LAUNCHER, ENGINE = "launcher", "engine"
"""The group of what runs a sweep's cases, and its other name, which a setting of workload=rl_memory has, too."""
OF_LAUNCHER = re.compile(rf"(?P<before>\+{{0,2}}){ENGINE}(?P<behind>\.\w[\w.]*=.*|=(?P<name>\w+))", re.DOTALL)


def with_full_names(argument: str) -> str:
    """Write `hardware=h100,l4` with files' names in place of their aliases, and `engine=ray` as `launcher=ray`."""
    launcher = OF_LAUNCHER.fullmatch(argument)
    # rl_memory's `engine` has values of its own.
    if launcher is not None and launcher["name"] in (None, *choices(LAUNCHER)):
        argument = f"{launcher['before']}{LAUNCHER}{launcher['behind']}"
    written = OPTIONS.fullmatch(argument)
    if written is None or not choices(written["group"]):
        return argument
    return written["before"] + ",".join(full_name(written["group"], name) for name in written["names"].split(","))


def in_full(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read `dtype=bf16` as bfloat16 and `seq_len=4k` as 4096, also where points are left out."""
    full = {key: _in_full_of(key, value) for key, value in settings.items()}
    if isinstance(points := settings.get("leave_out"), list):
        full["leave_out"] = [in_full(point) if isinstance(point, Mapping) else point for point in points]
    return full


def _in_full_of(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key == "dtype":
        return DTYPES.get(value, value)
    tokens = THOUSANDS.fullmatch(value) if OF_TOKENS.search(key) else None
    return int(tokens[1]) * 1024 ** (1 + (tokens[2] in "mM")) if tokens else value
