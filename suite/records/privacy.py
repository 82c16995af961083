"""Keeps paths, names of people and machines, and the environment's values out of what is written and forwarded."""

import getpass
import os
import platform
import re
from collections.abc import Mapping
from typing import Any

from suite.records.environment import RECORDED_VARIABLES

SHORTEST_SECRET = 8
"""Shorter values of the environment ("1", "en_US") are words that mean nothing by themselves."""
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])(?:/[\w.@+~-]+){2,}/?|\b[A-Za-z]:\\[^\s'\"<>|]+")


def scrub(text: str) -> str:
    """Replace absolute paths, the user's and the host's name and environment values in a text."""
    for name, value in sorted(os.environ.items(), key=lambda item: -len(item[1])):
        if len(value) >= SHORTEST_SECRET and name not in RECORDED_VARIABLES:
            text = text.replace(value, f"<{name}>")
    text = ABSOLUTE_PATH.sub(lambda match: "<path>/" + re.split(r"[/\\]", match.group().rstrip("/"))[-1], text)
    for private, stand_in in ((_user(), "<user>"), (platform.node(), "<host>")):
        if len(private) >= 4:
            text = re.sub(rf"\b{re.escape(private)}\b", stand_in, text)
    return text


def scrubbed(value: Any) -> Any:
    """The same plain data with every text in it scrubbed; keys are ours and stay."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item) for item in value]
    return value


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
