"""`suite run`: Hydra composes the settings of one case or of a sweep; what is composed is then executed here.

Hydra appears in this module only. Its task function merely collects, so that a sweep is known whole, and refused whole,
before its first case runs.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from suite.configuration import conf_dir, read_yaml, whole_number
from suite.execution import INTERRUPTED, execute
from suite.job import Job, job_for
from suite.records.case import case_from, without, without_inapplicable
from suite.records.limits import most_threads
from suite.report.command import report
from suite.rl.recipe import stage_modules
from suite.rl.tuning import best_of, of_trial
from suite.side_by_side import refuse_workers

NO_SUCH_SETTING = "there is no setting {!r}; the settings are the keys of conf/run.yaml and of the chosen groups"
IS_FIXED = "{key} is what makes {option} what it is, and must not be set"
OF_THE_COMMAND = ("leave_out", "resume", "report", "workers")
"""Settings that no case has."""
DEFAULT_DTYPES = {"cuda": "bfloat16"}
"""Of a device; elsewhere float32."""
MULTIRUN = {"-m", "--multirun"}
BELOW_A_GROUP = re.compile(r"(?!hydra\b)\w+\.[\w.]+=")


@dataclass(frozen=True, kw_only=True)
class Composed:
    """One point of a sweep, or the single run."""

    settings: dict[str, Any]
    chosen: dict[str, str]
    named: list[str]
    forced: list[str]
    """Those of the named keys that were written with ++: the chosen options may not know them."""
    folder: Path
    is_sweep: bool
    strange: Sequence[str] = ()
    """Those of the named keys that do not apply."""
    of_workload: Sequence[str] = ()
    """Settings that only this workload has, from its file in the group `settings`."""

    @property
    def fixed(self) -> list[str]:
        """Those of the named keys that the option taken in their group does not let go, as MHA its key-value heads."""
        return [key for key in self.named if key.partition(".")[2] in _fixed_by(self.settings.get(_group(key)))]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments say; returns the exit code."""
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except SystemExit as ended:  # Hydra's own --help
        return ended.code if isinstance(ended.code, int) else 0
    except BrokenPipeError:  # whoever reads us left: the command line ends quietly
        raise
    except OSError as error:
        print(f"suite run: cannot write the results: {error.strerror} ({error.filename})", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str]) -> int:
    try:
        composed = compose(arguments)
        jobs = [job_of(one) for one in composed if not is_left_out(one)]
        resume, wants_page = (all(_is_on(one, name) for one in composed) for name in ("resume", "report"))
        workers = _workers(composed)
        refuse_workers(jobs, workers)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        print(f"suite run: {sentence(error)}", file=sys.stderr)
        return 2
    if not composed:  # Hydra answered by itself, as with --cfg
        return 0
    if not jobs:
        print("suite run: leave_out leaves no case to run", file=sys.stderr)
        return 2
    folder, is_sweep = composed[0].folder, composed[0].is_sweep
    code = execute(jobs, folder=folder, is_sweep=is_sweep, resume=resume, workers=workers)
    if is_sweep and wants_page and code != INTERRUPTED:
        written, reported = report([folder], [], out=Path("reports") / f"{folder.resolve().name}.html")
        print(f"page: {written}{', which names damaged folders' if reported else ''}", flush=True)
    return code


def compose(arguments: Sequence[str]) -> list[Composed]:
    """Let Hydra compose every point. Raises its errors, or ValueError, for what cannot be composed.

    In a sweep a setting of one option may stand beside others that do not have it, or fix it, as in
    `attention=mha,gqa,mla attention.kv_heads=2,4`: it is null for those.
    """
    try:
        composed = _composed(arguments)
    except ConfigCompositionException as error:
        forced = [_forced(argument) for argument in arguments]
        if not MULTIRUN & set(arguments) or "Could not override" not in str(error) or forced == list(arguments):
            raise
        composed = _composed(forced)
    if composed and composed[0].is_sweep and any(one.forced or one.fixed for one in composed):
        return _without_strangers(composed, [one for one in arguments if one.startswith("hydra.searchpath")])
    return composed


def _without_strangers(composed: Sequence[Composed], searchpath: Sequence[str]) -> list[Composed]:
    """The points without those settings that their own options do not know or fix.

    What an option has is seen by composing it alone. Raises ValueError for a setting that none lets be set.
    """
    folder = str(composed[0].folder).replace("'", "\\'")
    places = {(_group(key), one.chosen.get(_group(key))) for one in composed for key in (*one.forced, *one.fixed)}
    alone: dict[tuple[str, str], Any] = {}
    for group, option in sorted((group, option) for group, option in places if option is not None):
        (only,) = _composed(["-m", *searchpath, f"hydra.sweep.dir='{folder}'", f"{group}={option}"])
        alone[group, option] = only.settings[group]
    result = [_with_its_own(one, alone) for one in composed]
    for key in set.intersection(*(set(one.strange) for one in result)):
        option = composed[0].chosen[_group(key)]
        is_fixed = any(key in one.fixed for one in composed)
        raise ValueError(IS_FIXED.format(key=key, option=option) if is_fixed else NO_SUCH_SETTING.format(key))
    return result


def _with_its_own(one: Composed, alone: Mapping[tuple[str, str], Any]) -> Composed:
    """A point with what its options have by themselves instead of what does not apply to them."""
    strange, settings = list(one.fixed), one.settings
    for key in one.forced:
        has = alone.get((_group(key), one.chosen.get(_group(key), "")))
        if has is not None and key not in _leaves(has, f"{_group(key)}."):
            strange.append(key)
            settings = without(settings, [key])
    for key in one.fixed:
        group, _, name = key.partition(".")
        settings = {**settings, group: {**settings[group], name: alone[group, one.chosen[group]][name]}}
    return replace(one, settings=settings, strange=strange)


def _composed(arguments: Sequence[str]) -> list[Composed]:
    composed: list[Composed] = []
    refused: list[OmegaConfBaseException] = []
    is_multirun = bool(MULTIRUN & set(arguments))
    # A point takes Hydra nearly a tenth of a second, and a sweep may have thousands. Seen in a terminal only.
    notice = Console(stderr=True).status("composing the sweep")

    def collect(config: DictConfig) -> None:
        runtime = HydraConfig.get()
        is_sweep = str(runtime.mode).endswith("MULTIRUN")
        written = OmegaConf.to_container(runtime.overrides.task)  # unresolved: an override may be an interpolation
        assert isinstance(written, list)
        overrides = [OverridesParser.create().parse_override(override) for override in written]
        chosen = {group: name for group, name in runtime.runtime.choices.items() if isinstance(name, str)}
        try:
            settings = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            refused.append(error)  # raised in here, Hydra would print its own line first
            return
        assert isinstance(settings, dict)
        composed.append(
            Composed(
                settings={str(key): value for key, value in settings.items()},
                chosen=chosen,
                named=[*_named_in("sweep", chosen, runtime.runtime.config_sources), *map(_key, overrides)],
                forced=[_key(override) for override in overrides if override.is_force_add()],
                folder=Path(runtime.sweep.dir if is_sweep else runtime.run.dir),
                is_sweep=is_sweep,
                of_workload=_named_in("settings", chosen, runtime.runtime.config_sources),
            )
        )
        if is_multirun:
            notice.update(f"composing the sweep: {len(composed)} points")

    # Hydra prints a traceback or a banner of its own unless told to hand its errors on; it reads sys.argv.
    before_error, before_argv = os.environ.get("HYDRA_FULL_ERROR"), sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["suite-run", *arguments]  # the one-word name, which tab completion needs
    # Hydra composes every point of a sweep once more, only to see whether it can. Nothing here runs before all could.
    Sweeper.validate_batch_is_legal = _no_second_look
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    try:
        with notice if is_multirun else nullcontext():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="run")(collect)()
    finally:
        sys.argv = before_argv
        if before_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before_error
    if refused:
        raise refused[0]
    if composed and not composed[0].is_sweep and "sweep" in composed[0].chosen:
        name = composed[0].chosen["sweep"]
        raise ValueError(f"sweep={name} runs many cases and needs -m: suite run -m sweep={name}")
    if composed and composed[0].is_sweep:
        # Hydra leaves its own settings in the sweep's folder; they hold this machine's paths, and records must not.
        (composed[0].folder / "multirun.yaml").unlink(missing_ok=True)
    return composed


def is_left_out(composed: Composed) -> bool:
    """Whether this is a point of a sweep that its `leave_out` names, by a few of its settings. Raises ValueError for
    a name that is none."""
    points = composed.settings["leave_out"]
    if not isinstance(points, list) or not all(isinstance(point, dict) and point for point in points):
        raise ValueError(f"leave_out must be a list of points, as [{{phase: prefill, seq_len: 16384}}]; got {points!r}")
    for point in points if composed.is_sweep else ():
        unknown = sorted(set(point) - set(composed.settings) - set(composed.chosen))
        if unknown:
            raise ValueError(NO_SUCH_SETTING.format(unknown[0]))
        if all(composed.chosen.get(name, composed.settings.get(name)) == value for name, value in point.items()):
            return True
    return False


def job_of(composed: Composed) -> Job:
    """The case and its settings. Raises ValueError for what does not exist and for what is wrong in itself."""
    of_workload = {key.partition(".")[0] for key in composed.of_workload}
    named_in_file = set(read_yaml("run.yaml")) - {"defaults", "hydra"} | of_workload
    unknown = sorted(set(composed.settings) - named_in_file - set(composed.chosen))
    if unknown:
        raise ValueError(NO_SUCH_SETTING.format(unknown[0]))
    missing = sorted(named_in_file - set(composed.settings))
    if missing:
        raise ValueError(f"{missing[0]} must have a value; got none")
    for key in composed.fixed if not composed.is_sweep else ():
        raise ValueError(IS_FIXED.format(key=key, option=composed.chosen[_group(key)]))
    of_case = {key: value for key, value in composed.settings.items() if key not in OF_THE_COMMAND}
    settings = without_inapplicable(of_case)
    return job_for(
        case_from(settings, chosen=composed.chosen, named=composed.named, strange=composed.strange), settings
    )


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
    leaves = [leaf for name in taken for leaf in _settings_in(path.with_name(f"{name}.yaml"))]
    return [*leaves, *_leaves({key: value for key, value in content.items() if key not in ("defaults", "hydra")})]


def _folder(schema: str, path: str) -> Path | None:
    """Where one part of Hydra's search path lies; None for what is no folder."""
    if schema == "pkg":
        spec = importlib.util.find_spec(path.replace("/", "."))
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    return Path(path) if schema == "file" else None


def _leaves(content: Mapping[Any, Any], above: str = "") -> list[str]:
    leaves: list[str] = []
    for key, value in content.items():
        leaves += _leaves(value, f"{above}{key}.") if isinstance(value, Mapping) else [f"{above}{key}"]
    return leaves


def _no_second_look(self: Sweeper, batch: Any) -> None:
    pass


def _default_dtype(device: Any) -> str:
    return DEFAULT_DTYPES.get(device, "float32")


def _divided(whole: int, by: int) -> int:
    if not isinstance(whole, int) or not isinstance(by, int) or by < 1 or whole % by:
        raise ValueError(f"{whole!r} must be a multiple of {by!r} to be divided by it")
    return whole // by


def _picked(name: str, values: Mapping[str, Any]) -> Any:
    if name not in values:
        raise ValueError(f"a value must be given for each of the options; there is none for {name!r}")
    return values[name]


def _at_most_cpus(count: int) -> int:
    return min(count, most_threads())


RESOLVERS: Mapping[str, Callable[..., Any]] = {
    "default_dtype": _default_dtype,
    "divided": _divided,
    "at_most_cpus": _at_most_cpus,
    "picked": _picked,
    "of_trial": of_trial,
    "best_of": best_of,
    "stage_modules": stage_modules,
}
"""Functions that a configuration may call, as in `num_generations: ${divided:256,${prompts_per_step}}`."""


def _key(override: Override) -> str:
    """`policy@recipe.teacher.policy` for an option that is put at another place than its group's."""
    key = str(override.key_or_group).replace("/", ".")
    return f"{key}@{override.package}" if override.package else key


def _group(key: str) -> str:
    return key.partition(".")[0]


def _fixed_by(option: Any) -> Sequence[str]:
    return option.get("fixed", ()) if isinstance(option, Mapping) else ()


def _forced(argument: str) -> str:
    """`attention.kv_heads=2` as `++attention.kv_heads=2`: added where there is no such key."""
    return f"++{argument}" if BELOW_A_GROUP.match(argument) else argument


def _is_on(composed: Composed, name: str) -> bool:
    value = composed.settings.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {value!r}")
    return value


def _workers(composed: Sequence[Composed]) -> int:
    numbers = dict.fromkeys(whole_number(one.settings, "workers", at_least=1) for one in composed)
    if len(numbers) > 1:
        raise ValueError(f"workers must be one number for the whole sweep; got {', '.join(map(str, numbers))}")
    return next(iter(numbers), 1)


def sentence(error: Exception) -> str:
    """Hydra's refusal, shortened to what a person needs to mend the call."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    missing = getattr(error, "missing_cfg_file", None)
    options = getattr(error, "options", None)
    if missing and options:
        group, _, name = str(missing).rpartition("/")
        return f"{group} must be one of {', '.join(options)}; got {name!r}"
    if "is not in struct" in text or "Could not override" in text:
        return NO_SUCH_SETTING.format(text.split("'")[1] if "'" in text else text)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as key=value ({text.partition(' expecting ')[0]})"
    if text.startswith("Ambiguous value"):
        return (
            f"{text.removeprefix('Ambiguous value for argument ')} names several values, which is a sweep and needs -m"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
