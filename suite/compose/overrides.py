"""Overrides in Hydra's grammar: parsed, and refused where they set what is no setting."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override

from suite.configuration.files import LOOK, OF_ITS_RECORDS, choices
from suite.records.case import OF_CONFIGURATION
from suite.records.stores.place import is_store, mirror_of, url_in

MULTIRUN = {"-m", "--multirun"}
LONGEST_NAME = 200
TOO_MANY_BRACKETS = "a value has too many brackets within brackets"
OF_CODE = (*OF_CONFIGURATION, "in_phase", "name", "plan", LOOK, *OF_ITS_RECORDS)
"""Keys of an option's file about settings or code, which no command line sets."""
BELOW_A_GROUP = re.compile(r"(?!hydra\b)\w+\.[\w.]+=")
FOLDERS = re.compile(r"\+*hydra\.(run|sweep)\.dir=")
"""Hydra makes these folders itself, before any case is known."""


def checked_flags(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--config-dir` as the search path that it stands for.

    Raises ValueError for a flag that Hydra does not have, for one that unpickles a file, and for one that would replace
    conf/run.yaml or change nothing.
    """
    parser = get_args_parser()
    parser.error = _refuse_flag
    flags = parser.parse_args(list(arguments))
    if flags.experimental_rerun is not None:
        raise ValueError("--experimental-rerun unpickles a file, which can run anything; give the settings instead")
    if flags.config_path or flags.config_name:
        raise ValueError("conf/run.yaml says what a case is, and no other takes its place; add a folder: --config-dir")
    if flags.package and not flags.cfg:
        raise ValueError("--package names a part of what --cfg prints, and needs it: --cfg job --package measure")
    if flags.config_dir is None:
        return list(arguments)
    if any(argument.lstrip("+").startswith("hydra.searchpath") for argument in flags.overrides):
        raise ValueError("--config-dir and hydra.searchpath are two ways to add folders; give one of them")
    folder = Path(flags.config_dir).resolve()
    if not folder.is_dir():
        raise ValueError(f"--config-dir must be a folder that exists; got {flags.config_dir!r}")
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return [*_without_flag(arguments, "--config-dir", "-cd"), f"hydra.searchpath=['file://{quoted}']"]


def _without_flag(arguments: Sequence[str], *names: str) -> list[str]:
    """Leave out a flag that takes a value, written as `--flag value` or `--flag=value`."""
    left: list[str] = []
    is_value = False
    for argument in arguments:
        if not is_value and not argument.startswith(tuple(f"{name}=" for name in names)) and argument not in names:
            left.append(argument)
        is_value = argument in names
    return left


def _refuse_flag(message: str) -> NoReturn:
    raise ValueError(f"{message}; see suite run --help")


def check_options(overrides: Iterable[Override]) -> None:
    """Raise ValueError for a group without one of its options, and for what an option says of other settings."""
    for override in overrides:
        key = str(override.key_or_group)
        group, _, name = key.partition(".")
        options = choices(group)
        if not options:
            continue
        if name.partition(".")[0] in OF_CODE:
            raise ValueError(f"{key} is what makes each {group} what it is, and must not be set")
        if name:
            continue
        if override.is_delete():
            raise ValueError(f"{group} must be one of {', '.join(options)}; got ~{group}, which takes it away")
        for value in _values_of(override):
            # Without the ending of an option's file, so that a case has one id.
            if not isinstance(value, str) or "/" in value or value.endswith(".yaml") or len(value) > LONGEST_NAME:
                got = "null" if value is None else repr(value)
                raise ValueError(f"{group} must be one of {', '.join(options)}; got {got}")


def _values_of(override: Override) -> Iterable[Any]:
    """What an override sets, one after the other in a sweep; a pattern names only files that there are."""
    value = override.value()
    if not override.is_sweep_override():
        return [value]
    return [] if isinstance(value, Glob) else value.list if isinstance(value, ChoiceSweep) else [override.input_line]


def settings_in(arguments: Sequence[str]) -> list[Override]:
    """Return what the arguments set or take away, without Hydra's flags and their values, as `job` in `--cfg job`."""
    return parse_overrides(argument for argument in arguments if "=" in argument or argument.startswith("~"))


def typed_keys(arguments: Sequence[str]) -> set[str]:
    return {bare(key_of(override)) for override in settings_in(arguments)}


def with_mirrors(arguments: Iterable[str]) -> list[str]:
    """Return the arguments with a folder of this machine in place of each store's URL that names a folder for results.

    Raises ValueError for what is no URL of a store.
    """
    return [_mirrored(argument) if FOLDERS.match(argument) else argument for argument in arguments]


def _mirrored(argument: str) -> str:
    (override,) = parse_overrides([argument])
    value = override.value()
    if not isinstance(value, str) or not is_store(value):
        return argument
    quoted = str(mirror_of(url_in(value))).replace("\\", "\\\\").replace("'", "\\'")
    return f"{argument.partition('=')[0]}='{quoted}'"


def parse_overrides(written: Iterable[str]) -> list[Override]:
    try:
        return list(OverridesParser.create().parse_overrides([text for text in written if not text.startswith("-")]))
    except RecursionError as error:
        raise ValueError(TOO_MANY_BRACKETS) from error


def key_of(override: Override) -> str:
    """`policy@recipe.teacher.policy` for an option that is put at another place than its group's."""
    key = str(override.key_or_group).replace("/", ".")
    return f"{key}@{override.package}" if override.package else key


def forced(argument: str) -> str:
    """`attention.kv_heads=2` as `++attention.kv_heads=2`: added where there is no such key."""
    return f"++{argument}" if BELOW_A_GROUP.match(argument) else argument


def bare(key: str) -> str:
    """The key without the signs that add it or take it away."""
    return key.lstrip("+~")
