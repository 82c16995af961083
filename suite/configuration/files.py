"""The YAML below conf/ and suite/texts, found and read without Hydra, and its comments, which are shown to people.

`suite run` composes its settings with Hydra. Everything else (report, doctor, explain, projections) needs only single
files: this module reads those with PyYAML, so that it works where neither Hydra nor torch is installed.
"""

import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from suite.configuration.values import did_you_mean, one_of

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of this package; modules that may be moved ask here."""
MOST_LISTED = 12
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Safe, and libyaml's where PyYAML was built with it."""
LOOK = "shown"
"""In an option's file: how it is called and drawn."""
CONFS = "mla_grpo_suite.conf"
"""The group of entry points of other packages' configuration."""
OF_ITS_RECORDS = ("summary", "judged_by", "outcome", "compared_by", "design")
"""In a workload's file: how its records are told, judged and compared. Like LOOK these are no settings of a case."""


def conf_dir() -> Path:
    """The folder of configuration files: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@functools.cache
def groups() -> frozenset[str]:
    """The names of the configuration groups."""
    return frozenset(path.name for path in conf_dir().iterdir() if path.is_dir())


@functools.cache
def choices(group: str) -> tuple[str, ...]:
    """The names of the YAML files in a group, such as `geometry`, sorted; empty for a group that does not exist."""
    return tuple(sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))) if group in groups() else ()


def read_choice(group: str, name: str) -> dict[str, Any]:
    """The contents of `conf/<group>/<name>.yaml` without how it is drawn. Raises ValueError for an unknown name."""
    if name not in choices(group):
        raise ValueError(no_choice(group, name, choices(group)))
    return {key: value for key, value in read_yaml(f"{group}/{name}.yaml").items() if key != LOOK}


def read_look(group: str, name: str) -> dict[str, Any] | None:
    """How an option is called and drawn, which is no setting; None where its file does not say."""
    return read_yaml(f"{group}/{name}.yaml").get(LOOK)


@functools.cache
def workload_definition(name: str) -> Mapping[str, Any]:
    """The contents of a workload's file, of the suite or an installed package; empty for an unknown workload."""
    folders = [*_foreign_confs(), conf_dir()]
    files = {path.stem: path for folder in folders for path in (folder / "workload").glob("*.yaml")}
    content: dict[str, Any] = _loaded(files[name]) if name in files else {}
    return content.get("workload") or content


def _foreign_confs() -> Iterator[Path]:
    for point in entry_points(group=CONFS):
        spec = importlib.util.find_spec(point.value)  # found without running its code
        yield from map(Path, spec.submodule_search_locations or () if spec else ())


def no_choice(group: str, name: str, options: Sequence[str]) -> str:
    """The sentence that refuses a name: the options or, of many, where they are listed, and which may be meant."""
    suggestion = did_you_mean(name, options) or did_you_mean(name, choices("workload"), before="workload=")
    if len(options) > MOST_LISTED:
        return f"there is no {group} {name!r}{suggestion or ';'} suite ls {group} lists all {len(options)}"
    return f"{group} must be one of {', '.join(options)}; got {name!r}{suggestion}"


def full_name(group: str, name: str) -> str:
    """The option that has this name among its `aliases`; else the name as it is."""
    if name not in choices(group):
        for option in choices(group):
            if name in read_yaml(f"{group}/{option}.yaml").get("aliases", ()):
                return option
    return name


def read_yaml(relative: str) -> dict[str, Any]:
    """The contents of one file below `conf/`, which must be a mapping."""
    content = _loaded(conf_dir() / relative)
    assert isinstance(content, dict), relative
    return content


def _loaded(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)


def read_settings(workload: str) -> dict[str, Any]:
    """A workload's own settings, with those of the files beside it that its `defaults` take in."""
    content = read_yaml(f"settings/{workload}.yaml")
    defaults = [name for name in content.pop("defaults", ()) if name != "_self_"]
    return {key: value for name in defaults for key, value in read_settings(name).items()} | content


def in_phase(option: Mapping[str, Any], phase: str | None) -> dict[str, Any]:
    """An option as it is in a phase: the keys of its `in_phase` for that phase replace its own."""
    of_phases: Mapping[str | None, Mapping[str, Any]] = option.get("in_phase", {})
    return {key: value for key, value in option.items() if key != "in_phase"} | dict(of_phases.get(phase, {}))


TEXTS = PACKAGE / "texts"


@functools.cache
def languages(text: str) -> tuple[str, ...]:
    """The languages in which a text of the suite (`report` or `explain`) exists, sorted."""
    return tuple(sorted(path.stem for path in (TEXTS / text).iterdir()))


def read_text(text: str, lang: str) -> Mapping[str, Any]:
    """A text's sentences in one language: of a file, or of the files of a folder.

    Raises ValueError, naming the choices, for a language it does not have.
    """
    one_of({"lang": lang}, "lang", languages(text))
    folder = TEXTS / text / lang
    return read_sentences(folder if folder.is_dir() else folder.with_suffix(".yaml"))


@functools.cache
def read_sentences(path: Path) -> Mapping[str, Any]:
    """The sentences of a file, or of all files of a folder; two of one key are a fault."""
    sentences: dict[str, Any] = {}
    for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
        content = _loaded(file)
        assert isinstance(content, dict), file
        assert not sentences.keys() & content.keys(), file
        sentences |= content
    return sentences


def locate(dotted: Any) -> Any:
    """The object behind a dotted name, such as a `_target_`. Raises ValueError where there is none."""
    if not isinstance(dotted, str):
        raise ValueError(f"cannot load {dotted!r}, which is no dotted name")
    module_name, _, attribute = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"cannot load {dotted!r} ({error})") from error


_SETTING = re.compile(r"(?P<key>[a-z]\w*): (?P<value>.*?)(?:\s+#\s*(?P<comment>.*))?")
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
        if (match := _SETTING.fullmatch(line)) and match["key"] != "defaults":
            settings.append(Setting(key=match["key"], value=match["value"], comment=match["comment"] or ""))
    return settings


def described(group: str) -> dict[str, str]:
    """Each option of a group with the first sentence of its file's comment, or with its sizes.

    Raises ValueError for a group that does not exist.
    """
    one_of({"group": group}, "group", sorted(groups()))
    descriptions = {}
    for name in choices(group):
        text = (conf_dir() / group / f"{name}.yaml").read_text(encoding="utf-8")
        lines = (line for line in text.splitlines() if not line.startswith("# @package"))
        comment = " ".join(line.removeprefix("#").strip() for line in takewhile(lambda line: line[:1] == "#", lines))
        option = read_choice(group, name)
        sizes = ", ".join(f"{key} {option[key]}" for key in SIZES if key in option)
        descriptions[name] = SENTENCE_END.split(comment)[0] or sizes
    return descriptions
