"""Comments of the YAML below conf/: they say what an option is and what a setting means, and are shown to people."""

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from suite.configuration.files import choices, conf_dir, read_choice

SETTING = re.compile(r"(?P<key>[a-z]\w*): (?P<value>.*?)(?:\s+#\s*(?P<comment>.*))?")
TAKEN = re.compile(r"  - (?P<name>[a-z]\w*)(?:\s+#.*)?")
"""A file beside it whose settings come first, in a file's own defaults."""
SENTENCE_END = re.compile(r"(?<!Dr\.)(?<!eq\.)(?<=[.?])\s")
SIZES = ("family", "attention", "hidden_size", "num_layers", "vendor", "arch", "memory_gb")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A key of a file with its default and its comment."""

    key: str
    value: str
    comment: str


def file_settings(relative: str) -> list[Setting]:
    """The settings at the top of a file below conf/, in its order, without Hydra's own.

    Files of the same folder that its defaults take in come first.
    """
    settings: list[Setting] = []
    for line in (conf_dir() / relative).read_text(encoding="utf-8").splitlines():
        if line.startswith("hydra:"):
            break
        if default := TAKEN.fullmatch(line):
            settings += file_settings(str(Path(relative).with_name(f"{default['name']}.yaml")))
        if (match := SETTING.fullmatch(line)) and match["key"] != "defaults":
            settings.append(Setting(key=match["key"], value=match["value"], comment=match["comment"] or ""))
    return settings


def described(group: str) -> dict[str, str]:
    """Each option of a group with the first sentence of its file's comment, or with its sizes.

    Raises ValueError for a group that does not exist.
    """
    if not choices(group):
        folders = sorted(path.name for path in conf_dir().iterdir() if path.is_dir())
        raise ValueError(f"group must be one of {', '.join(folders)}; got {group!r}")
    return {
        name: _first_sentence(conf_dir() / group / f"{name}.yaml") or _sizes(group, name) for name in choices(group)
    }


def _first_sentence(path: Path) -> str:
    """Of the comment that a file opens with."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
    comment = takewhile(lambda line: line.startswith("#"), lines)
    return SENTENCE_END.split(" ".join(line.removeprefix("#").strip() for line in comment))[0]


def _sizes(group: str, name: str) -> str:
    option = read_choice(group, name)
    return ", ".join(f"{key} {option[key]}" for key in SIZES if key in option)
