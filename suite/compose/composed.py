"""What Hydra composes for a choice of options, and the points that are read from it."""

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from suite.compose.overrides import check_options, key_of, parse_overrides
from suite.compose.point import NO_SUCH_SETTING, SweepPoint, group_of, leaves
from suite.compose.shorthand import LAUNCHER, in_full
from suite.configuration.files import LOOK, OF_ITS_RECORDS
from suite.records.case import without
from suite.records.machine.privacy import of_setting
from suite.records.stores.place import is_store

PARTS_ALONE = "the parts of a sweep are run alone, and with no flag of Hydra's but -m: suite run -m sweep=NAME"
OF_HYDRAS_RUNS = ("callbacks", "output_subdir", "job.chdir")


@dataclass(frozen=True, kw_only=True)
class Composed:
    """What a choice of options composes to, with Hydra's own settings apart."""

    config: DictConfig
    runtime: DictConfig
    chosen: Mapping[str, str]
    in_sweep: Sequence[str]
    """Settings that the sweep's file names."""
    of_workload: Sequence[str]
    of_task: Sequence[str]

    @classmethod
    def of(cls, config: DictConfig) -> "Composed":
        """Take Hydra's settings out of a configuration, which `${hydra:...}` then finds nevertheless."""
        HydraConfig.instance().set_config(config)
        runtime = HydraConfig.get()
        for key in OF_HYDRAS_RUNS:
            if OmegaConf.select(runtime, key):
                raise ValueError(f"hydra.{key} is of a run by Hydra; the suite runs its cases itself, without it")
        with flag_override(config, "struct", False):
            config.pop("hydra", None)
        return cls.with_runtime(config, runtime)

    @classmethod
    def with_runtime(cls, config: DictConfig, runtime: DictConfig) -> "Composed":
        chosen = {group: name for group, name in runtime.runtime.choices.items() if isinstance(name, str)}
        in_sweep, of_workload, of_task = (
            _named_in(group, chosen, runtime.runtime.config_sources) for group in ("sweep", "settings", "task")
        )
        return cls(
            config=config, runtime=runtime, chosen=chosen, in_sweep=in_sweep, of_workload=of_workload, of_task=of_task
        )


def point_of_job(config: DictConfig) -> SweepPoint:
    """The point of a job that another launcher than Hydra's basic one runs. Raises as `point_from`."""
    composed = Composed.with_runtime(config, HydraConfig.get())
    runtime = composed.runtime
    written = OmegaConf.to_container(runtime.overrides.task)  # unresolved: an override may be an interpolation
    assert isinstance(written, list)
    return point_from(composed, parse_overrides(written), is_sweep=runtime.mode == RunMode.MULTIRUN, is_part=False)


def point_from(composed: Composed, overrides: Sequence[Override], *, is_sweep: bool, is_part: bool) -> SweepPoint:
    """Read the configuration as it stands now. Raises OmegaConf's errors, or ValueError."""
    overrides = [override for override in overrides if not override.is_hydra_override()]
    check_options(overrides)
    if looks := [key for key in map(key_of, overrides) if key.partition(".")[0] == LOOK]:
        raise ValueError(NO_SUCH_SETTING.format(looks[0]))
    if not is_sweep and "sweep" in composed.chosen:
        name = composed.chosen["sweep"]
        raise ValueError(f"sweep={name} runs many cases and needs -m: suite run -m sweep={name}")
    settings = OmegaConf.to_container(composed.config, resolve=True)
    if not isinstance(settings, dict) or not isinstance(settings.get("workload"), dict) or "leave_out" not in settings:
        raise ValueError("the configuration must have all that conf/run.yaml has, workload and leave_out among it")
    if settings.get("parts") and not is_part:
        raise ValueError(PARTS_ALONE if is_sweep else "parts run many cases and need -m")
    folder = Path(composed.runtime.sweep.dir if is_sweep else composed.runtime.run.dir)
    if is_store(folder):
        raise ValueError(f"a store is named on the command line, as hydra.{'sweep' if is_sweep else 'run'}.dir=URL")
    return SweepPoint(
        settings=in_full(_measured(settings)),
        summary=settings["workload"].get("summary"),
        chosen=dict(composed.chosen),
        named=[*composed.in_sweep, *map(key_of, overrides)],
        forced=[key_of(override) for override in overrides if override.is_force_add()],
        folder=folder,
        is_sweep=is_sweep,
        of_workload=composed.of_workload,
        of_task=composed.of_task,
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


def _named_in(group: str, chosen: Mapping[str, str], sources: Iterable[Any]) -> list[str]:
    """The settings that the file taken in a group names beside its parameters, as dotted keys."""
    name = chosen.get(group)
    folders = [folder for source in sources if name and (folder := _folder(source.schema, source.path))]
    for path in (folder / group / f"{name}.yaml" for folder in folders):
        if path.is_file():
            return _keys_in(path)
    return []


def _keys_in(path: Path) -> list[str]:
    """The dotted keys of a file, and of files beside it that its own defaults take in."""
    content = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(content, dict)
    taken = [name for name in content.get("defaults", ()) if isinstance(name, str) and name != "_self_"]
    theirs = [leaf for name in taken for leaf in _keys_in(path.with_name(f"{name}.yaml"))]
    return [*theirs, *leaves({key: value for key, value in content.items() if key not in ("defaults", "hydra")})]


def _folder(schema: str, path: str) -> Path | None:
    """The folder that a part of Hydra's search path names; None where it names no folder."""
    if schema == "pkg":
        spec = importlib.util.find_spec(path.replace("/", "."))
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    return Path(path) if schema == "file" else None
