"""Hydra's own application: it composes every point, or hands each to another launcher or sweeper.

With Hydra's basic launcher and sweeper its task function merely collects, so that a sweep is known whole, and refused
whole, before its first case runs. Any other launcher or sweeper runs a task function in a process of its choice.
"""

import errno
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from suite.compose.overrides import MULTIRUN, TOO_MANY_BRACKETS, check_options, key_of, parse_overrides, settings_in
from suite.compose.point import NO_SUCH_SETTING, SweepPoint, group_of, leaves
from suite.compose.resolvers import RESOLVERS
from suite.compose.shorthand import LAUNCHER, in_full
from suite.configuration.files import LOOK, OF_ITS_RECORDS, choices, conf_dir
from suite.process.streams import CommandFailedError
from suite.records.case import without
from suite.records.privacy import of_setting
from suite.records.stores.place import is_store

REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
"""Errors that a user can mend; `suite.compose.compose.sentence` words them."""
ENGINES = {"hydra/launcher": Launcher, "hydra/sweeper": Sweeper}
BASIC = "basic"
WHERE = re.compile(r"(hydra|sweep)\b")
"""Overrides that may choose a launcher, a sweeper or a folder."""
MAY_SET_MODE = re.compile(r"[+~]*(hydra\.(mode|searchpath)|sweep\b)")
PARTS_ALONE = "the parts of a sweep are run alone, and with no flag of Hydra's but -m: suite run -m sweep=NAME"


def collect_points(arguments: Sequence[str], *, is_part: bool = False, after: int = 0) -> list[SweepPoint]:
    """Compose every point with Hydra's basic launcher and sweeper.

    `after`: the number of points that were composed before, for the notice in a terminal.
    """
    points: list[SweepPoint] = []
    refused: list[Exception] = []
    is_multirun = bool(MULTIRUN & set(arguments))
    # A point takes Hydra nearly a tenth of a second, and a sweep may have thousands. Seen in a terminal only.
    notice = Console(stderr=True).status("composing the sweep")

    def collect(config: DictConfig) -> None:
        try:
            points.append(point_from(config, is_part=is_part))
        except Exception as error:
            refused.append(error)  # raised in here, Hydra would print its own line first
        if is_multirun:
            notice.update(f"composing the sweep: {after + len(points)} points")

    with notice if is_multirun else nullcontext(), _no_second_look(arguments):
        call_hydra(collect, arguments)
    if refused:
        raise refused[0]
    if points and points[0].is_sweep:
        remove_hydras_own(points[0].folder)
    return points


def remove_hydras_own(folder: Path) -> None:
    """Remove the settings that Hydra leaves in a sweep's folder: they hold paths of this machine."""
    (folder / "multirun.yaml").unlink(missing_ok=True)


def call_hydra(task: Callable[[DictConfig], Any], arguments: Sequence[str]) -> None:
    """Run Hydra's application on a task function. Raises Hydra's errors, ValueError or OSError."""
    # Hydra prints a traceback or a banner of its own unless told to hand its errors on; it reads sys.argv.
    before_error, before_argv = os.environ.get("HYDRA_FULL_ERROR"), sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["suite-run", *arguments]  # the one-word name, which tab completion needs
    register_resolvers()
    try:
        with _hydras_refusals():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="run")(task)()
    finally:
        sys.argv = before_argv
        if before_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before_error


def other_engines(arguments: Sequence[str]) -> tuple[list[str], Path]:
    """Return the launcher and the sweeper that a sweep takes in place of Hydra's basic ones, as hydra/launcher=joblib,
    and the sweep's folder.

    Composing is dear, so without a plugin installed nothing is composed: Hydra refuses a name that it does not know.
    """
    if not MULTIRUN & set(arguments) or not any(_has_plugins(kind) for kind in ENGINES.values()):
        return [], Path()
    taken = [override for override in settings_in(arguments) if not override.is_sweep_override()]
    asked = [str(override.input_line) for override in taken if WHERE.match(key_of(override))]
    with hydra.initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        config = hydra.compose(config_name="run", overrides=asked, return_hydra_config=True)
    chosen = config.hydra.runtime.choices
    return [f"{group}={chosen[group]}" for group in ENGINES if chosen[group] != BASIC], Path(config.hydra.sweep.dir)


def _has_plugins(kind: type[Plugin]) -> bool:
    """Tell whether a launcher or a sweeper is installed beside Hydra's own."""
    found = Plugins.instance().discover(kind)
    return any(not plugin.__module__.startswith("hydra._internal.") for plugin in found)


def register_resolvers() -> None:
    """Make the functions known that conf/*.yaml calls. Each process needs that once."""
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def point_from(config: DictConfig, *, is_part: bool = False) -> SweepPoint:
    """Read the configuration that Hydra composed. Raises OmegaConf's errors, or ValueError."""
    runtime = HydraConfig.get()
    is_sweep = str(runtime.mode).endswith("MULTIRUN")
    written = OmegaConf.to_container(runtime.overrides.task)  # unresolved: an override may be an interpolation
    assert isinstance(written, list)
    overrides = parse_overrides(written)
    check_options(overrides)
    if looks := [key for key in map(key_of, overrides) if key.partition(".")[0] == LOOK]:
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
    folder = Path(runtime.sweep.dir if is_sweep else runtime.run.dir)
    if is_store(folder):
        raise ValueError(f"a store is named on the command line, as hydra.{'sweep' if is_sweep else 'run'}.dir=URL")
    return SweepPoint(
        settings=in_full(_measured(settings)),
        summary=settings["workload"].get("summary"),
        chosen=chosen,
        named=[*_named_in("sweep", chosen, runtime.runtime.config_sources), *map(key_of, overrides)],
        forced=[key_of(override) for override in overrides if override.is_force_add()],
        folder=folder,
        is_sweep=is_sweep,
        of_workload=_named_in("settings", chosen, runtime.runtime.config_sources),
        of_task=_named_in("task", chosen, runtime.runtime.config_sources),
        # Where a case ran is none of its settings, and the address of a cluster names a machine.
        overrides=[_without_path(override) for override in overrides if group_of(key_of(override)) != LAUNCHER],
    )


def _without_path(override: Override) -> str:
    """Write an override as it was typed, with a stand-in for a path of this machine."""
    key, sign, value = str(override.input_line).partition("=")
    return f"{key}{sign}{of_setting(key_of(override), value)}"


def _measured(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Leave out labels of options, and the reading of a workload's records: neither changes what is measured."""
    shown = {key: without(value, [LOOK]) if isinstance(value, dict) else value for key, value in settings.items()}
    return without({**shown, "workload": without(shown["workload"], OF_ITS_RECORDS)}, [LOOK])


@contextmanager
def _hydras_refusals() -> Iterator[None]:
    """Raise ValueError for anything that Hydra stumbles over, since a person wrote it; not for trouble with a disk."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="provider=hydra.searchpath")
            yield
    except (*REFUSALS, CommandFailedError):
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
    """Return the settings that the file taken in a group names beside its parameters, as dotted keys."""
    name = chosen.get(group)
    folders = [folder for source in sources if name and (folder := _folder(source.schema, source.path))]
    for path in (folder / group / f"{name}.yaml" for folder in folders):
        if path.is_file():
            return _keys_in(path)
    return []


def _keys_in(path: Path) -> list[str]:
    """Return the dotted keys of a file, and of files beside it that its own defaults take in."""
    content = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(content, dict)
    taken = [name for name in content.get("defaults", ()) if isinstance(name, str) and name != "_self_"]
    theirs = [leaf for name in taken for leaf in _keys_in(path.with_name(f"{name}.yaml"))]
    return [*theirs, *leaves({key: value for key, value in content.items() if key not in ("defaults", "hydra")})]


def _folder(schema: str, path: str) -> Path | None:
    """Return the folder that a part of Hydra's search path names; None where it names no folder."""
    if schema == "pkg":
        spec = importlib.util.find_spec(path.replace("/", "."))
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    return Path(path) if schema == "file" else None


@contextmanager
def _no_second_look(arguments: Sequence[str]) -> Iterator[None]:
    """Keep Hydra from composing every point of a sweep once more to see whether it can, and everything once more to see
    whether `hydra.mode` is set, unless the arguments may set it."""
    usual = Sweeper.validate_batch_is_legal, Hydra.get_mode
    Sweeper.validate_batch_is_legal = lambda self, batch: None
    if not any(MAY_SET_MODE.match(argument) for argument in arguments):
        Hydra.get_mode = lambda self, config_name, overrides: None  # by the flags, then
    try:
        yield
    finally:
        Sweeper.validate_batch_is_legal, Hydra.get_mode = usual


def known_keys(arguments: Sequence[str]) -> list[str]:
    """Return every dotted key, where each group has the first of the options that the arguments give it."""
    taken = []
    for override in settings_in(arguments):
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
