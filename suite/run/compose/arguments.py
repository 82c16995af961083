"""A command line in Hydra's grammar: read, written in full names, and refused where it sets what is no setting."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override

from suite.configuration.files import LOOK, OF_ITS_RECORDS, choices, full_name
from suite.configuration.removed import REMOVED, refuse_removed
from suite.records.case import CONFIG_ONLY_KEYS

MULTIRUN = {"-m", "--multirun"}
LONGEST_NAME = 200
TOO_MANY_BRACKETS = "a value has too many brackets within brackets"
NEVER_TYPED = (*CONFIG_ONLY_KEYS, "in_phase", "name", "plan", LOOK, *OF_ITS_RECORDS)
"""Keys of an option's file about settings or code, which no command line sets."""
RESULTS_FOLDER = re.compile(r"\+*hydra\.(run|sweep)\.dir=")
"""Hydra makes these folders itself, before any case is known."""
OPTIONS = re.compile(r"(?P<before>\+{0,2}(?P<group>\w+)=)(?P<names>[\w.,-]+)")
LAUNCHER, ENGINE = "launcher", "engine"
"""The group of what runs a sweep's cases, and its other name, which a setting of workload=rl_memory has, too."""
AS_ENGINE = re.compile(rf"(?P<before>\+{{0,2}}){ENGINE}(?P<behind>\.\w[\w.]*=.*|=(?P<name>\w+))", re.DOTALL)
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
TOKEN_COUNT = re.compile(r"(_len|_length|_tokens)$|^window$")
"""Settings whose value may be written as 4k or 1M, by their names."""
THOUSANDS = re.compile(r"(\d{1,15})([kKmM])")


def checked_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments with full names. Raises ValueError for unknown ones, and for an empty name of a results folder."""
    full = list(map(with_full_names, checked_flags(arguments)))
    for argument in filter(RESULTS_FOLDER.match, full):
        value = parse_overrides([argument])[0].value()
        if value is None or not str(value).strip():  # Hydra takes an empty name for the current folder
            raise ValueError(f"{argument.partition('=')[0]} must name a folder for the records; got {value!r}")
    # Without flags and their values, as `job` in `--cfg job`.
    check_options(parse_overrides(argument for argument in full if "=" in argument or argument.startswith("~")))
    return full


def checked_flags(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--config-dir` as the search path that it stands for.

    Raises ValueError for a flag that Hydra does not have, for one that unpickles a file, and for one that would replace
    conf/run.yaml or change nothing.
    """

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"{message}; see suite run --help")

    parser = get_args_parser()
    parser.error = refuse
    flags = parser.parse_args(list(arguments))
    if flags.experimental_rerun is not None:
        raise ValueError("--experimental-rerun unpickles a file, which can run anything; give the settings instead")
    if flags.config_path or flags.config_name:
        raise ValueError(
            "conf/run.yaml defines a case and cannot be replaced; add a folder of options by --config-dir FOLDER"
        )
    if flags.package and not flags.cfg:
        raise ValueError("--package names a part of what --cfg prints, and needs it: --cfg job --package measure")
    if flags.config_dir is None:
        return list(arguments)
    if any(argument.lstrip("+").startswith("hydra.searchpath") for argument in flags.overrides):
        raise ValueError("--config-dir and hydra.searchpath are two ways to add folders; give one of them")
    folder = Path(flags.config_dir).resolve()
    if not folder.is_dir():
        raise ValueError(f"--config-dir must be a folder that exists; got {flags.config_dir!r}")
    rest, is_value = list[str](), False
    for argument in arguments:  # the flag is written as `--config-dir FOLDER` or `--config-dir=FOLDER`
        if not is_value and argument.partition("=")[0] not in ("--config-dir", "-cd"):
            rest.append(argument)
        is_value = argument in ("--config-dir", "-cd")
    return [*rest, f"hydra.searchpath=[{_quoted(f'file://{folder}')}]"]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def with_full_names(argument: str) -> str:
    """An argument as `hardware=h100,l4` with files' names in place of aliases, and `engine=ray` as `launcher=ray`."""
    launcher = AS_ENGINE.fullmatch(argument)
    # rl_memory's `engine` has values of its own.
    if launcher is not None and launcher["name"] in (None, *choices(LAUNCHER)):
        argument = f"{launcher['before']}{LAUNCHER}{launcher['behind']}"
    options = OPTIONS.fullmatch(argument)
    if options is None or not choices(options["group"]):
        return argument
    return options["before"] + ",".join(full_name(options["group"], name) for name in options["names"].split(","))


def settings_in_full(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with bfloat16 for `dtype=bf16` and 4096 for `seq_len=4k`, and the like; in `leave_out` too."""
    full = dict(settings)
    for key, value in settings.items():
        if key == "leave_out" and isinstance(value, list):
            full[key] = [settings_in_full(point) if isinstance(point, Mapping) else point for point in value]
        elif key == "dtype" and isinstance(value, str):
            full[key] = DTYPES.get(value, value)
        elif TOKEN_COUNT.search(key) and isinstance(value, str) and (tokens := THOUSANDS.fullmatch(value)):
            full[key] = int(tokens[1]) * 1024 ** (1 + (tokens[2] in "mM"))
    return full


def check_options(overrides: Iterable[Override]) -> None:
    """Raise ValueError for an option that a group does not allow, and for a key that no command line may set."""
    for override in overrides:
        key = str(override.key_or_group)
        group, _, name = key.partition(".")
        options = choices(group)
        if not options:
            continue
        if name.partition(".")[0] in NEVER_TYPED:
            raise ValueError(f"{key} defines the options of {group} and must not be set")
        if name:
            continue
        if override.is_delete():
            raise ValueError(f"{group} must be one of {', '.join(options)}; got ~{group}, which removes it")
        value = override.value()
        values = value.list if isinstance(value, ChoiceSweep) else [value]
        if override.is_sweep_override() and not isinstance(value, ChoiceSweep):
            values = [] if isinstance(value, Glob) else [override.input_line]  # a pattern names only files that exist
        for value in values:
            if f"{group}={value}" in REMOVED:
                refuse_removed(f"{group}={value}")
            # Without the ending of an option's file, so that a case has one id.
            if not isinstance(value, str) or "/" in value or value.endswith(".yaml") or len(value) > LONGEST_NAME:
                got = "null" if value is None else repr(value)
                raise ValueError(f"{group} must be one of {', '.join(options)}; got {got}")


def parse_overrides(lines: Iterable[str]) -> list[Override]:
    """Parse lines in Hydra's grammar, but for flags. Raises ValueError for deep brackets, and Hydra's errors."""
    try:
        return list(OverridesParser.create().parse_overrides([text for text in lines if not text.startswith("-")]))
    except RecursionError as error:
        raise ValueError(TOO_MANY_BRACKETS) from error


def override_key(override: Override) -> str:
    """The dotted key of an override, as `policy@recipe.teacher.policy` for an option put at another place."""
    key = str(override.key_or_group).replace("/", ".")
    return f"{key}@{override.package}" if override.package else key
