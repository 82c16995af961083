"""The points of a sweep by Hydra's own loader, parser and sweeper, or Hydra's application where it is asked for more.

With Hydra's basic launcher and sweeper the points are composed before the first case runs, so that a sweep is known
whole, and refused whole. Any other launcher or sweeper runs a task function in a process of its choice.
"""

import copy
import dataclasses
import errno
import functools
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from suite.compose.composed import Composed, point_from
from suite.compose.overrides import MULTIRUN, TOO_MANY_BRACKETS, key_of, parse_overrides, settings_in
from suite.compose.point import SweepPoint, leaves
from suite.compose.resolvers import RESOLVERS
from suite.configuration.files import choices, conf_dir
from suite.process.streams import CommandFailedError

REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
"""Errors that a user can mend; `suite.compose.compose.sentence` words them."""
ENGINES = {"hydra/launcher": Launcher, "hydra/sweeper": Sweeper}
BASIC = "basic"
RUN = {"-r", "--run"}
WHERE = re.compile(r"(hydra|sweep)\b")
"""Overrides that may choose a launcher, a sweeper or a folder."""
MAY_SET_MODE = re.compile(r"[+~]*(hydra\.(mode|searchpath)|sweep\b)")


class Loader(ConfigLoaderImpl):  # type: ignore[misc]
    """Hydra's loader of configurations, which reads each file once for all that it composes."""

    _files: CachingConfigRepository | None = None

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        if self._files is None:
            self._files = super()._parse_overrides_and_create_caching_repo(config_name, overrides)[1]
        return OverridesParser.create().parse_overrides(overrides), self._files

    @staticmethod
    def _embed_result_config(ret: ConfigResult, package_override: str | None) -> ConfigResult:
        # What is composed takes the nodes of the files in, and changes them.
        own = dataclasses.replace(ret, config=copy.deepcopy(ret.config))
        return ConfigLoaderImpl._embed_result_config(own, package_override)

    def run_file(self, overrides: Sequence[str], mode: RunMode, **how: bool) -> DictConfig:
        return self.load_configuration("run", list(overrides), mode, **how)

    def is_choice(self, override: Override) -> bool:
        """Whether an override takes an option of a group, once any configuration was composed."""
        assert self._files is not None
        return not isinstance(override.value(), dict) and self._files.group_exists(override.key_or_group)


def collect_points(arguments: Sequence[str], *, is_part: bool = False, after: int = 0) -> list[SweepPoint]:
    """The single run, or every point of a sweep as Hydra's basic sweeper expands it; none where Hydra answers by
    itself, as with --cfg.

    `after`: the number of points that were composed before, for the notice in a terminal.
    """
    flags = {argument for argument in arguments if argument.startswith("-")}
    if flags - MULTIRUN - RUN:
        call_hydra(lambda config: None, arguments)
        return []
    register_resolvers()
    written = [argument for argument in arguments if not argument.startswith("-")]
    with _hydras_refusals(), hydra.initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        loader = Loader(config_search_path=GlobalHydra.instance().config_loader().get_search_path())
        if not MULTIRUN & flags and _mode_in(loader, written) != RunMode.MULTIRUN:
            config = loader.run_file(written, RunMode.RUN)
            return [point_from(Composed.of(config), parse_overrides(written), is_sweep=False, is_part=is_part)]
        points = []
        # A sweep may have thousands of points. Seen in a terminal only.
        with Console(stderr=True).status("composing the sweep") as notice:
            for composed, overrides in _sweep(loader, written):
                points.append(point_from(composed, overrides, is_sweep=True, is_part=is_part))
                notice.update(f"composing the sweep: {after + len(points)} points")
        return points


def _sweep(loader: Loader, written: Sequence[str]) -> Iterator[tuple[Composed, list[Override]]]:
    """Compose the points of a sweep.

    Hydra composes each point anew, for a tenth of a second. But the choice of options alone says which files are read:
    so they are composed once for each choice, and every point sets its own values in that until the next is asked for.
    """
    sweep = loader.run_file(written, RunMode.MULTIRUN)
    params = sweep.hydra.sweeper.get("params") or {}
    parser = OverridesParser.create(config_loader=loader)
    lines = [*(f"{key}={value}" for key, value in params.items()), *sweep.hydra.overrides.task]
    (points,) = BasicSweeper.split_arguments(parser.parse_overrides(lines), max_batch_size=None)
    parsed = functools.cache(lambda line: parser.parse_overrides([line])[0])
    is_choice = functools.cache(lambda line: loader.is_choice(parsed(line)))
    by_choice: dict[tuple[str, ...], Composed] = {}
    for point in points:
        choice = tuple(filter(is_choice, point))
        if choice not in by_choice:
            config = loader.run_file([*sweep.hydra.overrides.hydra, *choice], RunMode.RUN)
            OmegaConf.copy_cache(from_config=sweep, to_config=config)
            by_choice[choice] = Composed.of(config)
        composed = by_choice[choice]
        with _set_in(composed.config, [parsed(line) for line in point if not is_choice(line)]):
            yield composed, list(map(parsed, point))


@contextmanager
def _set_in(config: DictConfig, values: Sequence[Override]) -> Iterator[None]:
    """Set values in a configuration, and take them back: copying all of it was half of the time of `sweep=rl_why`."""
    content = config.__dict__["_content"]
    before = dict(content)
    for name in {str(value.key_or_group).partition(".")[0] for value in values} & content.keys():
        content[name] = copy.deepcopy(content[name])
    try:
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        yield
    finally:
        content.clear()
        content.update(before)


def _mode_in(loader: Loader, written: Sequence[str]) -> RunMode | None:
    """The mode that an argument or a sweep's file sets. What cannot be composed is refused by whoever comes next."""
    if not any(MAY_SET_MODE.match(argument) for argument in written):
        return None
    try:
        config = loader.run_file(written, RunMode.MULTIRUN, validate_sweep_overrides=False)
    except ConfigCompositionException:
        return None
    mode: RunMode | None = config.hydra.mode
    return mode


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
