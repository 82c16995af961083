"""Hydra composes the settings of one case, or of every point of a sweep. It appears in this module only.

Its task function merely collects, so that a sweep is known whole, and refused whole, before its first case runs. A
sweep is one cross product, as Hydra's own sweeper makes it, or several: see suite.compose.parts.
"""

import errno
import functools
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from suite.compose.inapplicable import (
    Alone,
    as_if_not_named,
    is_why,
    no_such_setting,
    refusal_of,
    strange_to_all,
    without_strangers,
    without_the_unused,
)
from suite.compose.parts import bare, checked_parts, overrides_of
from suite.compose.point import NO_SUCH_SETTING, Composed, leaves
from suite.compose.resolvers import RESOLVERS
from suite.configuration.files import LOOK, OF_ITS_RECORDS, choices, conf_dir, full_name, no_choice
from suite.records.case import OF_CONFIGURATION, without

REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
"""What `compose` raises for what a user can mend; `sentence` says it."""
PARTS_ALONE = "the parts of a sweep are run alone, and with no flag of Hydra's but -m: suite run -m sweep=NAME"
PLACES_OF_PARTS = ("sweep", "parts")
MULTIRUN = {"-m", "--multirun"}
OPTIONS = re.compile(r"(?P<before>\+{0,2}(?P<group>\w+)=)(?P<names>[\w.,-]+)")
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
OF_TOKENS = re.compile(r"(_len|_length|_tokens)$|^window$")
"""Settings that count tokens, by their names."""
THOUSANDS = re.compile(r"(\d{1,15})([kKmM])")
LONGEST_NAME = 200
TOO_MANY_BRACKETS = "a value has too many brackets within brackets"
OF_CODE = (*OF_CONFIGURATION, "in_phase", "name", "plan", LOOK, *OF_ITS_RECORDS)
"""What an option says of settings or of code in its file, which no command line sets."""
BELOW_A_GROUP = re.compile(r"(?!hydra\b)\w+\.[\w.]+=")


def compose(arguments: Sequence[str]) -> list[Composed]:
    """Let Hydra compose every point. Raises its errors, or ValueError, for what cannot be composed.

    In a sweep a setting of one option may stand beside others that do not have it, or fix it, as in
    `attention=mha,gqa,mla attention.kv_heads=2,4`: it is null for those. What the command line sets wins over a part's
    value, and applies to the parts that know it. What is named and used by no point is refused, unless a sweep's file
    names it and the command line is why.
    """
    _check_flags(arguments)
    arguments = [_with_full_names(argument) for argument in arguments]
    _check_options(_settings(arguments))
    try:
        parts = _parts(arguments)
        alone = _alone([one for one in arguments if one.startswith("hydra.searchpath")])
        if parts:
            return _compose_parts(parts, arguments, alone)
        composed = _cross_product(arguments, alone)
    except ConfigCompositionException as error:
        if (key := _unknown_key(error)) is None:
            raise
        raise ValueError(no_such_setting(key, _known(arguments))) from error
    typed = _typed(arguments)
    for key in strange_to_all(composed):
        if key in typed or not is_why(typed, key, composed):
            raise ValueError(refusal_of(key, composed))
    return composed


def _compose_parts(parts: Sequence[Mapping[str, Any]], arguments: Sequence[str], alone: Alone) -> list[Composed]:
    """One part after the other; what is strange to all of a part is refused unless the command line is why."""
    typed = _typed(arguments)
    composed: list[Composed] = []
    unknown: list[set[str]] = []
    for part in parts:
        # Forced at once: a part that Hydra gave up half way would be composed twice.
        own = [_forced(_with_full_names(one)) for one in overrides_of(part, typed=typed)]
        _check_options(_settings(own))
        rest = (one for one in arguments if one not in MULTIRUN)
        points = _cross_product(["-m", *own, *rest], alone, is_part=True, after=len(composed))
        strange = set(strange_to_all(points))
        for key in sorted(strange - typed):
            if not is_why(typed, key, points):
                raise ValueError(refusal_of(key, points))
        composed += as_if_not_named(points, strange & typed)
        unknown.append(strange & typed)
    for key in sorted(set.intersection(*unknown)):
        raise ValueError(refusal_of(key, points))
    return composed


def _parts(arguments: Sequence[str]) -> list[dict[str, Any]]:
    """The parts that the sweep's file or the command line gives a sweep; none where Hydra answers by itself."""
    flags = {one for one in arguments if one.startswith("-")}
    if not flags or flags - MULTIRUN:
        return []
    written = _overrides(arguments)
    places = [one for one in written if _key(one) in PLACES_OF_PARTS]
    if not places or any(one.is_sweep_override() for one in places):
        return []
    places += [one for one in written if _key(one) == "hydra.searchpath"]
    with hydra.initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        config = hydra.compose(config_name="run", overrides=[str(one.input_line) for one in places])
    return checked_parts(OmegaConf.to_container(config, resolve=False)["parts"])


def _cross_product(arguments: Sequence[str], alone: Alone, *, is_part: bool = False, after: int = 0) -> list[Composed]:
    """The points of one, without the settings that do not apply to them; or the single run as it is."""
    try:
        composed = _composed(arguments, is_part=is_part, after=after)
    except ConfigCompositionException as error:
        forced = [_forced(argument) for argument in arguments]
        if not MULTIRUN & set(arguments) or "Could not override" not in str(error) or forced == list(arguments):
            raise
        composed = _composed(forced, is_part=is_part, after=after)
    if composed and composed[0].is_sweep and any(one.forced or one.fixed for one in composed):
        composed = without_strangers(composed, alone)
    return without_the_unused(composed)


def _alone(searchpath: Sequence[str]) -> Alone:
    """What a group has under one of its options, with nothing else set."""

    @functools.cache
    def alone(folder: Path, group: str, option: str) -> Any:
        quoted = str(folder).replace("'", "\\'")
        (only,) = _composed(["-m", *searchpath, f"hydra.sweep.dir='{quoted}'", f"{group}={option}"])
        return only.settings[group]

    return alone


def _composed(arguments: Sequence[str], *, is_part: bool = False, after: int = 0) -> list[Composed]:
    composed: list[Composed] = []
    refused: list[Exception] = []
    is_multirun = bool(MULTIRUN & set(arguments))
    # A point takes Hydra nearly a tenth of a second, and a sweep may have thousands. Seen in a terminal only.
    notice = Console(stderr=True).status("composing the sweep")

    def collect(config: DictConfig) -> None:
        try:
            composed.append(_point(config, is_part=is_part))
        except Exception as error:
            refused.append(error)  # raised in here, Hydra would print its own line first
        if is_multirun:
            notice.update(f"composing the sweep: {after + len(composed)} points")

    # Hydra prints a traceback or a banner of its own unless told to hand its errors on; it reads sys.argv.
    before_error, before_argv = os.environ.get("HYDRA_FULL_ERROR"), sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["suite-run", *arguments]  # the one-word name, which tab completion needs
    # Hydra composes every point of a sweep once more, only to see whether it can. Nothing here runs before all could.
    Sweeper.validate_batch_is_legal = _no_second_look
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    try:
        with notice if is_multirun else nullcontext(), _hydras_refusals():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="run")(collect)()
    finally:
        sys.argv = before_argv
        if before_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before_error
    if refused:
        raise refused[0]
    if composed and composed[0].is_sweep:
        # Hydra leaves its own settings in the sweep's folder; they hold this machine's paths, and records must not.
        (composed[0].folder / "multirun.yaml").unlink(missing_ok=True)
    return composed


def _point(config: DictConfig, *, is_part: bool) -> Composed:
    """Read what Hydra composed. Raises OmegaConf's errors, or ValueError."""
    runtime = HydraConfig.get()
    is_sweep = str(runtime.mode).endswith("MULTIRUN")
    written = OmegaConf.to_container(runtime.overrides.task)  # unresolved: an override may be an interpolation
    assert isinstance(written, list)
    overrides = _overrides(written)
    _check_options(overrides)
    if looks := [key for key in map(_key, overrides) if key.partition(".")[0] == LOOK]:
        raise ValueError(NO_SUCH_SETTING.format(looks[0]))
    chosen = {group: name for group, name in runtime.runtime.choices.items() if isinstance(name, str)}
    if not is_sweep and "sweep" in chosen:
        name = chosen["sweep"]
        raise ValueError(f"sweep={name} runs many cases and needs -m: suite run -m sweep={name}")
    settings = OmegaConf.to_container(config, resolve=True)
    if not isinstance(settings, dict) or not isinstance(settings.get("workload"), dict) or "leave_out" not in settings:
        raise ValueError("the configuration must have all that conf/run.yaml has, workload and leave_out among it")
    if settings.get("parts") and not is_part:
        raise ValueError(PARTS_ALONE if is_sweep else "parts run many cases and need -m")
    return Composed(
        settings=_in_full(_measured(settings)),
        summary=settings["workload"].get("summary"),
        chosen=chosen,
        named=[*_named_in("sweep", chosen, runtime.runtime.config_sources), *map(_key, overrides)],
        forced=[_key(override) for override in overrides if override.is_force_add()],
        folder=Path(runtime.sweep.dir if is_sweep else runtime.run.dir),
        is_sweep=is_sweep,
        of_workload=_named_in("settings", chosen, runtime.runtime.config_sources),
        of_task=_named_in("task", chosen, runtime.runtime.config_sources),
    )


def _measured(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Leave out how options are shown, and how a workload's records are read: neither changes what is measured."""
    shown = {key: without(value, [LOOK]) if isinstance(value, dict) else value for key, value in settings.items()}
    return without({**shown, "workload": without(shown["workload"], OF_ITS_RECORDS)}, [LOOK])


@contextmanager
def _hydras_refusals() -> Iterator[None]:
    """Raise ValueError for whatever Hydra stumbles over, since a person wrote it; not for its trouble with a disk."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="provider=hydra.searchpath")
            yield
    except REFUSALS:
        raise
    except RecursionError as error:
        raise ValueError(TOO_MANY_BRACKETS) from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ValueError(f"a name is too long for a file: {error.filename}") from error
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(f"Hydra cannot compose these settings ({type(error).__name__}: {said})") from error


def _named_in(group: str, chosen: Mapping[str, str], sources: Iterable[Any]) -> list[str]:
    """Settings that the file taken in a group names beside its parameters, as dotted keys."""
    name = chosen.get(group)
    folders = [folder for source in sources if name and (folder := _folder(source.schema, source.path))]
    for path in (folder / group / f"{name}.yaml" for folder in folders):
        if path.is_file():
            return _settings_in(path)
    return []


def _settings_in(path: Path) -> list[str]:
    """Dotted keys of a file and of those beside it that its own defaults take in."""
    content = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(content, dict)
    taken = [name for name in content.get("defaults", ()) if isinstance(name, str) and name != "_self_"]
    theirs = [leaf for name in taken for leaf in _settings_in(path.with_name(f"{name}.yaml"))]
    return [*theirs, *leaves({key: value for key, value in content.items() if key not in ("defaults", "hydra")})]


def _folder(schema: str, path: str) -> Path | None:
    """Where one part of Hydra's search path lies; None for what is no folder."""
    if schema == "pkg":
        spec = importlib.util.find_spec(path.replace("/", "."))
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    return Path(path) if schema == "file" else None


def _no_second_look(self: Sweeper, batch: Any) -> None:
    pass


def _with_full_names(argument: str) -> str:
    """Write `hardware=h100,l4` with the names of files in place of their aliases."""
    written = OPTIONS.fullmatch(argument)
    if written is None or not choices(written["group"]):
        return argument
    return written["before"] + ",".join(full_name(written["group"], name) for name in written["names"].split(","))


def _in_full(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read `dtype=bf16` as bfloat16 and `seq_len=4k` as 4096, also where points are left out."""
    full = {key: _in_full_of(key, value) for key, value in settings.items()}
    if isinstance(points := settings.get("leave_out"), list):
        full["leave_out"] = [_in_full(point) if isinstance(point, Mapping) else point for point in points]
    return full


def _in_full_of(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key == "dtype":
        return DTYPES.get(value, value)
    tokens = THOUSANDS.fullmatch(value) if OF_TOKENS.search(key) else None
    return int(tokens[1]) * 1024 ** (1 + (tokens[2] in "mM")) if tokens else value


def _check_flags(arguments: Sequence[str]) -> None:
    """Raise ValueError for a flag that Hydra does not have, and for the one that unpickles a file."""
    parser = get_args_parser()
    parser.error = _refuse_flag
    if parser.parse_args(list(arguments)).experimental_rerun is not None:
        raise ValueError("--experimental-rerun unpickles a file, which can run anything; give the settings instead")


def _refuse_flag(message: str) -> NoReturn:
    raise ValueError(f"{message}; see suite run --help")


def _check_options(overrides: Iterable[Override]) -> None:
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
            if not _may_be_option(value):
                got = "null" if value is None else repr(value)
                raise ValueError(f"{group} must be one of {', '.join(options)}; got {got}")


def _values_of(override: Override) -> Iterable[Any]:
    """Return what an override sets, one after the other in a sweep; a pattern names only files that there are."""
    value = override.value()
    if not override.is_sweep_override():
        return [value]
    return [] if isinstance(value, Glob) else value.list if isinstance(value, ChoiceSweep) else [override.input_line]


def _may_be_option(value: Any) -> bool:
    """Tell whether a group may have an option of this name: a file's, without its ending, so that a case has one id."""
    return isinstance(value, str) and "/" not in value and not value.endswith(".yaml") and len(value) <= LONGEST_NAME


def _typed(arguments: Sequence[str]) -> set[str]:
    return {bare(_key(override)) for override in _settings(arguments)}


def _settings(arguments: Sequence[str]) -> list[Override]:
    """Return what the arguments set or take away, without Hydra's flags and their values, as `job` in `--cfg job`."""
    return _overrides(one for one in arguments if "=" in one or one.startswith("~"))


def _known(arguments: Sequence[str]) -> list[str]:
    """Return the dotted keys there are where each group has the first of the options that the arguments give it."""
    taken = []
    for override in _settings(arguments):
        group = str(override.key_or_group)
        if group == "hydra.searchpath":
            taken.append(str(override.input_line))
        elif choices(group):
            swept = override.sweep_string_iterator() if override.is_sweep_override() else iter([override.value()])
            taken.append(f"{group}={next(swept)}")
    with hydra.initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        config = hydra.compose(config_name="run", overrides=taken)
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    return leaves(content)


def _key(override: Override) -> str:
    """`policy@recipe.teacher.policy` for an option that is put at another place than its group's."""
    key = str(override.key_or_group).replace("/", ".")
    return f"{key}@{override.package}" if override.package else key


def _overrides(written: Iterable[str]) -> list[Override]:
    try:
        return list(OverridesParser.create().parse_overrides([one for one in written if not one.startswith("-")]))
    except RecursionError as error:
        raise ValueError(TOO_MANY_BRACKETS) from error


def _forced(argument: str) -> str:
    """`attention.kv_heads=2` as `++attention.kv_heads=2`: added where there is no such key."""
    return f"++{argument}" if BELOW_A_GROUP.match(argument) else argument


def _unknown_key(error: Exception) -> str | None:
    """Return the key that Hydra could not override; None where it says something else."""
    text = str(error).strip().partition("\n")[0]
    if "is not in struct" not in text and "Could not override" not in text:
        return None
    return text.split("'")[1] if "'" in text else text


def sentence(error: Exception) -> str:
    """Hydra's refusal, shortened to what a person needs to mend the call."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    missing = getattr(error, "missing_cfg_file", None)
    options = getattr(error, "options", None)
    if missing and options:
        group, _, name = str(missing).rpartition("/")
        return no_choice(group, name, options)
    if (key := _unknown_key(error)) is not None:
        return no_such_setting(key)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as key=value ({text.partition(' expecting ')[0]})"
    if text.startswith("Ambiguous value"):
        return (
            f"{text.removeprefix('Ambiguous value for argument ')} names several values, which is a sweep and needs -m"
        )
    return text
