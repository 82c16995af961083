"""Points composed by Hydra's own loader, parser and sweeper, with everything read once for a whole command.

Hydra composes each point of a sweep anew, for a tenth of a second. But the choice of options alone says which files are
read: so they are composed once for each choice, and every point sets its own values in that until the next one does.
"""

import copy
import dataclasses
import errno
import functools
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import omegaconf
from hydra import version
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.default_element import ConfigDefault, ResultDefault
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, Node, OmegaConf, flag_override
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from suite.configuration.files import LOOK, OF_ITS_RECORDS, conf_dir
from suite.configuration.removed import refuse_stores
from suite.machine.privacy import clean_setting
from suite.machine.streams import CommandFailedError
from suite.records.case import without
from suite.run.compose.arguments import LAUNCHER, TOO_MANY_BRACKETS, check_options, override_key, settings_in_full
from suite.run.compose.point import NO_SUCH_SETTING, SweepPoint, fixed_by, group_name, leaves
from suite.run.compose.resolvers import RESOLVERS, chosen_device

# Reading `${divided:256,${batch}}` takes milliseconds.
omegaconf.base.parse = functools.cache(omegaconf.base.parse)
_names_for_interpolation = defaults_list._create_interpolation_map
# Hydra makes nodes of all choices for each file, a third of its time, though few files' defaults ask for them.
defaults_list._create_interpolation_map = lambda overrides, defaults, self_added: (
    _names_for_interpolation(overrides, defaults, self_added)
    if any(each.is_interpolation() for each in defaults)
    else {}
)

REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
"""Errors that a user can mend; `suite.run.compose.composer.sentence` words them."""
PARTS_ALONE = "the parts of a sweep are run alone, and with no flag of Hydra's but -m: suite run -m sweep=NAME"
VERSION_BASE = "1.3"
NAMED_IN = ("sweep", "settings", "task")
"""Groups whose files name settings beside their own parameters."""
OF_HYDRAS_RUNS = ("callbacks", "output_subdir", "job.chdir")


class _NotPlainError(Exception):
    """Files whose merging OmegaConf alone knows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """What a choice of options composes to, with Hydra's own settings apart."""

    config: DictConfig
    hydra: DictConfig
    """Hydra's settings, below the key `hydra`."""
    base: SweepPoint
    """The point, as far as the choice says it."""


class Loader(ConfigLoaderImpl):  # type: ignore[misc]
    """Hydra's loader of configurations for one command, with all of its `overrides`: one of them may add folders."""

    def __init__(self, overrides: Sequence[str]) -> None:
        version.setbase(VERSION_BASE)
        setup_globals()
        super().__init__(create_config_search_path(str(conf_dir())))
        places = [line for line in overrides if line.startswith("hydra.searchpath=")]
        self._files: CachingConfigRepository = super()._parse_overrides_and_create_caching_repo("run", places)[1]
        self._contents: dict[tuple[str, str], dict[Any, Any]] = {}
        self._plain_files: dict[tuple[str | None, str | None], dict[Any, Any]] = {}
        self._of_hydra: dict[tuple[Any, ...], DictConfig] = {}
        self._choices: dict[tuple[str, ...], Choice] = {}
        self._parser = OverridesParser.create(config_loader=self)
        self.parsed: Callable[[str], Override] = functools.cache(lambda line: self._parser.parse_overrides([line])[0])
        self.is_choice: Callable[[str], bool] = functools.cache(self._is_choice)

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        return [self.parsed(line) for line in overrides], self._files

    @staticmethod
    def _embed_result_config(ret: ConfigResult, package_override: str | None) -> ConfigResult:
        # What is composed takes the nodes of the files in, and changes them.
        own_copy = dataclasses.replace(ret, config=copy.deepcopy(ret.config))
        return ConfigLoaderImpl._embed_result_config(own_copy, package_override)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: CachingConfigRepository
    ) -> DictConfig:
        """In place of Hydra's own, which makes the nodes of all files for each choice: Hydra's own files are merged
        once for a command, and files of settings as plain mappings, where that comes to the same."""
        of_hydra = list(itertools.takewhile(_is_hydras, defaults))
        files = defaults[len(of_hydra) :]
        key = tuple((default.config_path, default.package) for default in of_hydra)
        try:
            if any(map(_is_hydras, files)):
                raise _NotPlainError
            merged: dict[Any, Any] = {}
            for default in files:
                _merge(merged, self._plain_file(default, repo))
            if key not in self._of_hydra:
                self._of_hydra[key] = super()._compose_config_from_defaults_list(of_hydra, repo)
            config: DictConfig = copy.deepcopy(self._of_hydra[key])
            with flag_override(config, "no_deepcopy_set_nodes", True):
                config.merge_with(merged)
        except (_NotPlainError, OmegaConfBaseException):
            return super()._compose_config_from_defaults_list(defaults, repo)  # its error names the file
        return config

    def _plain_file(self, default: ResultDefault, repo: CachingConfigRepository) -> dict[Any, Any]:
        """What a file sets, below the key where the defaults list puts it."""
        key = (default.config_path, default.package)
        if key not in self._plain_files:
            loaded = self._load_single_config(default, repo)
            content = OmegaConf.to_container(loaded.config)
            if loaded.is_schema_source or not isinstance(content, dict):
                raise _NotPlainError
            self._plain_files[key] = content
        return self._plain_files[key]

    def run_file(self, overrides: Sequence[str], mode: RunMode, **how: bool) -> DictConfig:
        """Compose conf/run.yaml with these overrides. `how`: further arguments of Hydra's loader."""
        return self.load_configuration("run", list(overrides), mode, **how)

    def _is_choice(self, line: str) -> bool:
        override = self.parsed(line)
        return not isinstance(override.value(), dict) and self._files.group_exists(override.key_or_group)

    def single(self, lines: Sequence[str]) -> SweepPoint:
        """The point of a command line without -m, given its overrides."""
        choice = self.choice_from(self.run_file(lines, RunMode.RUN))
        return point_from(choice, [self.parsed(line) for line in lines], is_sweep=False)

    def points(self, sweep: DictConfig, lines: Sequence[str], *, is_part: bool = False) -> Iterator[SweepPoint]:
        """The points of a cross product, as Hydra's basic sweeper expands it.

        `sweep`: the configuration of the whole sweep. `lines`: overrides of settings, of which later ones win.
        """
        params = sweep.hydra.sweeper.get("params") or {}
        overrides = self._parser.parse_overrides([*(f"{key}={value}" for key, value in params.items()), *lines])
        check_options(overrides)
        (combinations,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        for combination in combinations:
            options = tuple(filter(self.is_choice, combination))
            if options not in self._choices:
                config = self.run_file([*sweep.hydra.overrides.hydra, *options], RunMode.RUN)
                OmegaConf.copy_cache(from_config=sweep, to_config=config)
                self._choices[options] = self.choice_from(config)
            choice = self._choices[options]
            HydraConfig.instance().cfg = choice.hydra  # for `${hydra:...}`
            set_here = [self.parsed(line) for line in combination if not self.is_choice(line)]
            values, inapplicable = _applicable(choice, set_here)
            with _set_in(choice.config, values):
                point = point_from(choice, list(map(self.parsed, combination)), is_sweep=True, is_part=is_part)
            yield dataclasses.replace(point, inapplicable=inapplicable)

    def content(self, group: str, name: str) -> dict[Any, Any]:
        """What an option's file holds, merged with the files that its defaults name; {} where there is no such file."""
        if (group, name) not in self._contents:
            file = self._files.load_config(f"{group}/{name}")
            defaults = () if file is None else file.defaults_list or ()
            names = [default.path for default in defaults if isinstance(default, ConfigDefault)]
            contents = [self.content(group, taken_in) for taken_in in names if taken_in not in (None, "_self_")]
            merged = OmegaConf.to_container(OmegaConf.merge(*contents, {} if file is None else file.config))
            assert isinstance(merged, dict)
            merged.pop("hydra", None)
            self._contents[group, name] = merged
        return self._contents[group, name]

    def choice_from(self, config: DictConfig) -> Choice:
        """Divide a configuration into Hydra's own settings, which `${hydra:...}` still reads, and the rest. Raises
        ValueError for settings that only Hydra's own runs would heed, and for a text in place of an option."""
        if "hydra" in config:  # not in the process of another launcher
            HydraConfig.instance().set_config(config)
            with flag_override(config, "struct", False):
                config.pop("hydra")
        of_hydra = HydraConfig.instance().cfg
        for key in OF_HYDRAS_RUNS:
            if OmegaConf.select(of_hydra.hydra, key):
                raise ValueError(f"hydra.{key} must not be set: the suite runs its cases itself, without Hydra")
        chosen = {group: name for group, name in of_hydra.hydra.runtime.choices.items() if isinstance(name, str)}
        for group in chosen:
            is_given = group in config and not OmegaConf.is_interpolation(config, group)
            text = config[group] if is_given else None
            if isinstance(text, str):  # from a file; it would take the place of all the option's settings
                raise ValueError(
                    f"a file chooses {group} among its defaults, as '- override /{group}: {text}'; got {group}: {text}"
                )
        named = {group: leaves(self.content(group, name)) for group, name in chosen.items() if group in NAMED_IN}
        in_sweep, of_workload, of_task = (named.get(group, []) for group in NAMED_IN)
        base = SweepPoint(chosen=chosen, named=in_sweep, of_workload=of_workload, of_task=of_task)
        return Choice(config=config, hydra=of_hydra, base=base)


def _is_hydras(default: ResultDefault) -> bool:
    return str(default.config_path).startswith("hydra/")


def _merge(below: dict[Any, Any], above: Mapping[Any, Any]) -> None:
    """Merge a mapping of settings over another. Raises _NotPlainError for a missing value or a reference to merge."""
    for key, value in above.items():
        before = below.get(key)
        if value == "???" or (isinstance(value, dict) and isinstance(before, str)):
            raise _NotPlainError
        if isinstance(value, dict) and isinstance(before, dict):
            _merge(before, value)
        else:
            below[key] = copy.deepcopy(value)


def _applicable(choice: Choice, overrides: Sequence[Override]) -> tuple[list[Override], list[str]]:
    """Divide overrides under a choice of options into those that are to be set, and keys that its options fix or lack:
    among `attention=mha,gqa,mla` only some take `attention.kv_heads`."""
    values, fixed, missing = list[Override](), list[str](), list[str]()
    for override in overrides:
        key = override_key(override)
        group, _, name = key.partition(".")
        parent, _, last = key.rpartition(".")
        if override.type not in (OverrideType.CHANGE, OverrideType.FORCE_ADD) or not name:
            values.append(override)
        elif group not in choice.base.chosen:  # of a group without an option; refused where nobody has a use for it
            values.append(dataclasses.replace(override, type=OverrideType.FORCE_ADD))
        elif name in fixed_by(choice.config.get(group)):
            fixed.append(key)
        elif isinstance(node := OmegaConf.select(choice.config, parent), DictConfig) and last in node:
            values.append(override)
        else:
            missing.append(key)
    return values, [*fixed, *missing]


def point_from(choice: Choice, overrides: Sequence[Override], *, is_sweep: bool, is_part: bool = False) -> SweepPoint:
    """The point that a choice's configuration holds now. Raises ValueError for keys that cannot be set, for a sweep or
    parts without -m, and for an object store's URL; and OmegaConf's errors."""
    overrides = [override for override in overrides if not override.is_hydra_override()]
    keys = list(map(override_key, overrides))
    if looks := [key for key in keys if group_name(key) == LOOK]:
        raise ValueError(NO_SUCH_SETTING.format(looks[0]))
    if not is_sweep and (name := choice.base.chosen.get("sweep")) is not None:
        raise ValueError(f"sweep={name} runs many cases and needs -m: suite run -m sweep={name}")
    settings = _resolved(choice.config)
    if not isinstance(settings, dict) or not isinstance(settings.get("workload"), dict) or "leave_out" not in settings:
        raise ValueError("the configuration must have all that conf/run.yaml has, workload and leave_out among it")
    if settings.get("parts") and not is_part:
        raise ValueError(PARTS_ALONE if is_sweep else "parts run many cases and need -m")
    settings |= {"device": chosen_device(settings.get("device"))}
    folder = Path(choice.hydra.hydra.sweep.dir if is_sweep else choice.hydra.hydra.run.dir)
    refuse_stores(str(folder))
    # Labels of options, and how a workload's records are read, change nothing that is measured.
    unmeasured = [LOOK, *(f"{group}.{LOOK}" for group in settings), *(f"workload.{key}" for key in OF_ITS_RECORDS)]
    typed = []
    for key, override in zip(keys, overrides, strict=True):
        # Where a case ran is none of its settings, and the address of a cluster names a machine.
        if group_name(key) != LAUNCHER:
            name, sign, value = str(override.input_line).partition("=")
            typed.append(f"{name}{sign}{clean_setting(key, value)}")
    return dataclasses.replace(
        choice.base,
        settings=settings_in_full(without(settings, unmeasured)),
        summary=settings["workload"].get("summary"),
        named=[*choice.base.named, *keys],
        folder=folder,
        is_sweep=is_sweep,
        overrides=typed,
    )


def _resolved(config: DictConfig) -> Any:
    """`OmegaConf.to_container(config, resolve=True)`, which takes ten times as long, as it asks nodes for flags."""
    try:
        return _plain(config)
    except InterpolationResolutionError:
        return OmegaConf.to_container(config, resolve=True)  # its error names the key


def _plain(node: Node) -> Any:
    """A node's value, resolved. Raises InterpolationResolutionError."""
    node = node._dereference_node() if node._is_interpolation() else node
    content = node._value()
    if isinstance(node, DictConfig) and isinstance(content, dict):
        return {key: _plain(inner) for key, inner in content.items()}
    if isinstance(node, ListConfig) and isinstance(content, list):
        return list(map(_plain, content))
    return content


@contextmanager
def _set_in(config: DictConfig, values: Sequence[Override]) -> Iterator[None]:
    """A context in which values are set in a configuration; leaving it restores those before. Copying the whole
    configuration instead took half of the time of `sweep=rl_why`."""
    content: dict[Any, Any] = config.__dict__["_content"]
    before = dict(content)
    for name in {group_name(str(value.key_or_group)) for value in values} & content.keys():
        content[name] = copy.deepcopy(content[name])
    try:
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        yield
    finally:
        content.clear()
        content.update(before)


def call_hydra(task: Callable[[DictConfig], Any], arguments: Sequence[str]) -> None:
    """Run Hydra's own application on a task function. Raises Hydra's errors, ValueError or OSError."""
    # Hydra prints a traceback or a banner of its own unless told to hand its errors on; it reads sys.argv.
    before_error, before_argv = os.environ.get("HYDRA_FULL_ERROR"), sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["suite-run", *arguments]  # the one-word name, which tab completion needs
    try:
        hydra.main(version_base=VERSION_BASE, config_path=str(conf_dir()), config_name="run")(task)()
    finally:
        sys.argv = before_argv
        if before_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before_error


@contextmanager
def hydras_refusals() -> Iterator[None]:
    """Make the functions known that conf/*.yaml calls, and raise ValueError for anything that Hydra stumbles over,
    since a person wrote it; not for trouble with a disk."""
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
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
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"Hydra cannot compose these settings ({type(error).__name__}: {reason})") from error
