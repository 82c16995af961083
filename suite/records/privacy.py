"""Keeps paths, names of people and machines, and the environment's values out of what is written and forwarded."""

import getpass
import os
import platform
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from suite.records.environment import RECORDED_VARIABLES

SHORTEST_SECRET = 8
"""Shorter values of the environment ("1", "en_US") are words that mean nothing by themselves."""
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])(?:/[\w.@+~-]+){2,}/?|\b[A-Za-z]:\\[^\s'\"<>|]+")


SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)


def scrub(text: str, *, is_choice: bool = False) -> str:
    """Replace absolute paths, the user's and the host's name and environment values in a text.

    `is_choice`: the text is a setting. It may equal an innocent variable by chance, and must then stay what it is, so
    only variables that are named like secrets count. One that is a path, spaces and all, keeps its last part.
    """
    if is_choice and PurePath(text).is_absolute():
        text = f"<path>/{PurePath(text).name}"
    for name, value in sorted(os.environ.items(), key=lambda item: -len(item[1])):
        counts = len(value) >= SHORTEST_SECRET and name not in RECORDED_VARIABLES
        if counts and (SECRET_NAME.search(name) or not is_choice):
            text = text.replace(value, f"<{name}>")
    text = ABSOLUTE_PATH.sub(lambda match: "<path>/" + re.split(r"[/\\]", match.group().rstrip("/"))[-1], text)
    for private, stand_in in ((_user(), "<user>"), (platform.node(), "<host>")):
        if len(private) >= 4:
            text = re.sub(rf"\b{re.escape(private)}\b", stand_in, text)
    return text


def scrubbed(value: Any, *, is_choice: bool = False) -> Any:
    """The same plain data with every text in it scrubbed; keys are ours and stay."""
    if isinstance(value, str):
        return scrub(value, is_choice=is_choice)
    if isinstance(value, Mapping):
        return {key: scrubbed(item, is_choice=is_choice) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item, is_choice=is_choice) for item in value]
    return value


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
