"""A command line in Hydra's grammar: read, written in full names, and refused where it sets what is no setting."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override

from suite.configuration.files import LOOK, OF_ITS_RECORDS, choices, full_name
from suite.records.case import CONFIG_ONLY_KEYS
from suite.records.stores.place import is_store, mirror_folder, url_in

MULTIRUN = {"-m", "--multirun"}
LONGEST_NAME = 200
TOO_MANY_BRACKETS = "a value has too many brackets within brackets"
OF_CODE = (*CONFIG_ONLY_KEYS, "in_phase", "name", "plan", LOOK, *OF_ITS_RECORDS)
"""Keys of an option's file about settings or code, which no command line sets."""
FOLDERS = re.compile(r"\+*hydra\.(run|sweep)\.dir=")
"""Hydra makes these folders itself, before any case is known."""
OPTIONS = re.compile(r"(?P<before>\+{0,2}(?P<group>\w+)=)(?P<names>[\w.,-]+)")
LAUNCHER, ENGINE = "launcher", "engine"
"""The group of what runs a sweep's cases, and its other name, which a setting of workload=rl_memory has, too."""
OF_LAUNCHER = re.compile(rf"(?P<before>\+{{0,2}}){ENGINE}(?P<behind>\.\w[\w.]*=.*|=(?P<name>\w+))", re.DOTALL)
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
COUNTS_TOKENS = re.compile(r"(_len|_length|_tokens)$|^window$")
"""Settings whose value may be written as 4k or 1M, by their names."""
THOUSANDS = re.compile(r"(\d{1,15})([kKmM])")


def checked_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments with full names, and with the mirror of a store in place of its URL. Raises ValueError for flags
    and options that do not exist."""
    written = [_with_mirror(with_full_names(argument)) for argument in checked_flags(arguments)]
    check_options(settings_in(written))
    return written


def checked_flags(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--config-dir` as the search path that it stands for.

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
    rest, is_value = list[str](), False
    for argument in arguments:  # the flag is written as `--config-dir FOLDER` or `--config-dir=FOLDER`
        if not is_value and argument.partition("=")[0] not in ("--config-dir", "-cd"):
            rest.append(argument)
        is_value = argument in ("--config-dir", "-cd")
    return [*rest, f"hydra.searchpath=[{_quoted(f'file://{folder}')}]"]


def _refuse_flag(message: str) -> NoReturn:
    raise ValueError(f"{message}; see suite run --help")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def with_full_names(argument: str) -> str:
    """`hardware=h100,l4` with files' names in place of their aliases, and `engine=ray` as `launcher=ray`."""
    launcher = OF_LAUNCHER.fullmatch(argument)
    # rl_memory's `engine` has values of its own.
    if launcher is not None and launcher["name"] in (None, *choices(LAUNCHER)):
        argument = f"{launcher['before']}{LAUNCHER}{launcher['behind']}"
    written = OPTIONS.fullmatch(argument)
    if written is None or not choices(written["group"]):
        return argument
    return written["before"] + ",".join(full_name(written["group"], name) for name in written["names"].split(","))


def settings_in_full(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with `dtype=bf16` read as bfloat16 and `seq_len=4k` as 4096, also where points are left out."""
    full = {key: _value_in_full(key, value) for key, value in settings.items()}
    if isinstance(points := settings.get("leave_out"), list):
        full["leave_out"] = [settings_in_full(point) if isinstance(point, Mapping) else point for point in points]
    return full


def _value_in_full(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key == "dtype":
        return DTYPES.get(value, value)
    tokens = THOUSANDS.fullmatch(value) if COUNTS_TOKENS.search(key) else None
    return int(tokens[1]) * 1024 ** (1 + (tokens[2] in "mM")) if tokens else value


def _with_mirror(argument: str) -> str:
    """The argument with a folder of this machine in place of a store's URL that names a folder for results."""
    if not FOLDERS.match(argument):
        return argument
    (override,) = parse_overrides([argument])
    value = override.value()
    if not isinstance(value, str) or not is_store(value):
        return argument
    return f"{argument.partition('=')[0]}={_quoted(str(mirror_folder(url_in(value))))}"


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
        for value in _values_set_by(override):
            # Without the ending of an option's file, so that a case has one id.
            if not isinstance(value, str) or "/" in value or value.endswith(".yaml") or len(value) > LONGEST_NAME:
                got = "null" if value is None else repr(value)
                raise ValueError(f"{group} must be one of {', '.join(options)}; got {got}")


def _values_set_by(override: Override) -> Iterable[Any]:
    """The values of a sweep's points; none of a pattern, which names only files that there are."""
    value = override.value()
    if not override.is_sweep_override():
        return [value]
    return [] if isinstance(value, Glob) else value.list if isinstance(value, ChoiceSweep) else [override.input_line]


def parse_overrides(written: Iterable[str]) -> list[Override]:
    try:
        return list(OverridesParser.create().parse_overrides([text for text in written if not text.startswith("-")]))
    except RecursionError as error:
        raise ValueError(TOO_MANY_BRACKETS) from error


def settings_in(arguments: Sequence[str]) -> list[Override]:
    """What the arguments set or take away, without Hydra's flags and their values, as `job` in `--cfg job`."""
    return parse_overrides(argument for argument in arguments if "=" in argument or argument.startswith("~"))


def override_key(override: Override) -> str:
    """`policy@recipe.teacher.policy` for an option that is put at another place than its group's."""
    key = str(override.key_or_group).replace("/", ".")
    return f"{key}@{override.package}" if override.package else key
