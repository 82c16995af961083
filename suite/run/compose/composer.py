"""The settings of one case, or of every point of a sweep, as Hydra composes them, without what does not apply.

A sweep is one cross product, as Hydra's own sweeper makes it, or several: five seeds of one task and three of
another. Each of these parts is a mapping from settings to a value or to several, comma-separated, as on the command
line: `{task: sort, attention: "mha,mla", attention.kv_lora_rank: "8,16"}`.
"""

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from suite.configuration.files import no_choice
from suite.records.case import as_typed
from suite.run.compose.arguments import MULTIRUN, checked_arguments, override_key, parse_overrides, with_full_names
from suite.run.compose.loader import REFUSALS as REFUSALS
from suite.run.compose.loader import Loader, call_hydra, hydras_refusals, point_from
from suite.run.compose.point import (
    SweepPoint,
    inapplicable_keys,
    no_such_setting,
    refusal_sentence,
    typed_settings_decide,
)

RUN = {"-r", "--run"}
ENGINES, BASIC = ("hydra/launcher", "hydra/sweeper"), "basic"
MAY_SET_MODE = re.compile(r"[+~]*(hydra\.(mode|searchpath)|sweep\b)")
OF_THE_WHOLE_SWEEP = ("hydra", "sweep", "parts")
PARTS, SEED = "parts", "seed"


class Composition:
    """What Hydra makes of one command line.

    With Hydra's basic launcher and sweeper the points are composed before the first case runs, so that a sweep is known
    whole, and refused whole. Any other launcher or sweeper runs a task function in a process of its choice.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        """Raise Hydra's errors, or ValueError, for flags, options and sweeps that do not exist."""
        self._arguments = checked_arguments(arguments)
        flags = {argument for argument in self._arguments if argument.startswith("-")}
        self._overrides = [argument for argument in self._arguments if not argument.startswith("-")]
        self._hydra_answers = bool(flags - MULTIRUN - RUN)
        """As with --cfg."""
        self._sweep: DictConfig | None = None
        """The configuration of the sweep as a whole; None for a single run."""
        if self._hydra_answers:
            return
        has_multirun_flag = bool(MULTIRUN & flags)
        with hydras_refusals():
            self._loader = Loader(self._overrides)
            parsed = list(map(self._loader.parsed, self._overrides))
            self._lines = [str(override.input_line) for override in parsed if not override.is_hydra_override()]
            if has_multirun_flag or any(map(MAY_SET_MODE.match, self._overrides)):
                self._sweep = self._compose_sweep(has_multirun_flag=has_multirun_flag)
        # Where the parts themselves vary from point to point, Hydra's own sentence refuses them later.
        swept = {override_key(override) for override in parsed if override.is_sweep_override()}
        is_whole = swept.isdisjoint(OF_THE_WHOLE_SWEEP)
        self._parts = checked_parts(_plain(self._sweep.get(PARTS))) if self._sweep is not None and is_whole else []

    def _compose_sweep(self, *, has_multirun_flag: bool) -> DictConfig | None:
        """Compose the whole sweep, without values that vary from point to point; None for a single run."""
        values = [
            line
            for line in self._lines
            if not self._loader.is_choice(line) and override_key(self._loader.parsed(line)) != PARTS
        ]
        of_whole_sweep = [line for line in self._overrides if line not in values]
        try:
            sweep = self._loader.run_file(of_whole_sweep, RunMode.MULTIRUN, validate_sweep_overrides=has_multirun_flag)
        except ConfigCompositionException:
            if has_multirun_flag:
                raise
            return None  # the single run is refused for the same cause
        return sweep if has_multirun_flag or sweep.hydra.mode == RunMode.MULTIRUN else None

    @property
    def engines(self) -> list[str]:
        """The launcher and the sweeper that take the place of Hydra's basic ones, as `hydra/launcher=joblib`."""
        chosen = {} if self._sweep is None else self._sweep.hydra.runtime.choices
        return [f"{group}={chosen[group]}" for group in ENGINES if chosen.get(group, BASIC) != BASIC]

    def hand_over(self, task: Callable[[Any], Any]) -> Path:
        """Let Hydra's other launcher or sweeper run the task function on each point; return the sweep's folder.

        Raises Hydra's errors, those of the task function, or ValueError for a sweep of several parts.
        """
        assert self._sweep is not None
        if self._parts:
            engines = ", ".join(self.engines)
            raise ValueError(f"a sweep of several parts needs Hydra's basic launcher and sweeper; got {engines}")
        folder = Path(self._sweep.hydra.sweep.dir)
        try:
            with hydras_refusals():
                call_hydra(task, self._arguments)
        finally:  # the settings that Hydra leaves there hold paths of this machine
            (folder / "multirun.yaml").unlink(missing_ok=True)
        return folder

    def points(self) -> list[SweepPoint]:
        """Every point, or the single run; none where Hydra answers by itself.

        In a sweep a setting of one option may stand beside others that do not have it, or fix it, as in
        `attention=mha,gqa,mla attention.kv_heads=2,4`: it is null for those. What the command line sets wins over a
        part's value, and applies to the parts that know it. What is named and used by no point is refused, unless a
        sweep's file names it and the command line is why.
        """
        if self._hydra_answers:
            with hydras_refusals():
                call_hydra(lambda config: None, self._arguments)
            return []
        typed = {override_key(override) for override in parse_overrides(self._overrides)}
        composed, ignored_by_part = list[SweepPoint](), list[set[str]]()
        # A sweep may have thousands of points. Seen in a terminal only, though notebooks and CI set FORCE_COLOR.
        with Console(stderr=True, force_terminal=sys.stderr.isatty()).status("composing the sweep") as notice:
            for part in self._parts or [{}]:
                points = self._cross_product(part_overrides(part, typed=typed))
                inapplicable = set.intersection(*(set(point.inapplicable) for point in points)) if points else set()
                for key in sorted(inapplicable - typed):
                    if not typed_settings_decide(typed, key, points):
                        raise ValueError(refusal_sentence(key, points))
                ignored_by_part.append(inapplicable & typed)
                composed += [_without_names(point, inapplicable & typed) for point in points]
                notice.update(f"composing the sweep: {len(composed)} points")
        for key in sorted(set.intersection(*ignored_by_part)):
            raise ValueError(refusal_sentence(key, points))
        if self._parts and not any(SEED in part for part in self._parts):
            # Seeds that no part names are outermost: an interrupted sweep has then run every part equally often.
            seeds = list(dict.fromkeys(point.settings[SEED] for point in composed))
            composed.sort(key=lambda point: seeds.index(point.settings[SEED]))
        return composed

    def _cross_product(self, of_part: Sequence[str]) -> list[SweepPoint]:
        """The points of a part, or the single run. `of_part`: the part's overrides; the command line's win."""
        with hydras_refusals():
            if self._sweep is None:
                points = [self._loader.single(self._overrides)]
            else:
                lines = [*map(with_full_names, of_part), *self._lines]
                points = list(self._loader.points(self._sweep, lines, is_part=bool(self._parts)))
            return [replace(point, inapplicable=inapplicable_keys(point)) for point in points]


def _without_names(point: SweepPoint, keys: Collection[str]) -> SweepPoint:
    named, inapplicable = ([key for key in names if key not in keys] for names in (point.named, point.inapplicable))
    return replace(point, named=named, inapplicable=inapplicable)


def compose(arguments: Sequence[str]) -> list[SweepPoint]:
    """Every point of a command line, or its single run. Raises Hydra's errors, or ValueError, for a wrong one."""
    return Composition(arguments).points()


def hydra_job_point(config: DictConfig) -> SweepPoint:
    """The point of a job that another launcher than Hydra's basic one runs, with the keys that do not apply to it."""
    with hydras_refusals():
        of_hydra, of_task = (_plain(HydraConfig.get().overrides[name]) for name in ("hydra", "task"))
        choice = Loader(of_hydra).choice_from(config)
        is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        point = point_from(choice, parse_overrides(of_task), is_sweep=is_sweep)
        return replace(point, inapplicable=inapplicable_keys(point))


def checked_parts(parts: Any) -> list[dict[str, Any]]:
    """The parts of a sweep. Raises ValueError unless they are a list of mappings."""
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) and part for part in parts):
        raise ValueError(f"parts must be a list of settings, as [{{task: sort, seed: '0,1,2'}}]; got {parts!r}")
    for key, value in ((key, value) for part in parts for key, value in part.items()):
        if re.split(r"[./@]", str(key).lstrip("+~"))[0] in OF_THE_WHOLE_SWEEP:
            raise ValueError(f"a part must not set {key}, which applies to the whole sweep")
        if isinstance(value, list | Mapping) or value == "":
            raise ValueError(f"{key} in a part must be a value or several, as '0,1,2'; got {value!r}")
    return [{str(key): value for key, value in part.items()} for part in parts]


def part_overrides(part: Mapping[str, Any], *, typed: Collection[str]) -> list[str]:
    """A part's settings as overrides `key=value`, without those in `typed`, which the command line itself sets."""
    return [f"{key}={as_typed(value)}" for key, value in part.items() if key.lstrip("+~") not in typed]


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node) if OmegaConf.is_config(node) else node


def sentence(error: Exception) -> str:
    """Shorten Hydra's refusal to the words that a person needs to mend the call."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    missing, options = (getattr(error, name, None) for name in ("missing_cfg_file", "options"))
    if missing and options:
        group, _, name = str(missing).rpartition("/")
        return no_choice(group, name, options)
    if "is not in struct" in text or "Could not override" in text:
        return no_such_setting(text.split("'")[1] if "'" in text else text)
    if isinstance(error, OverrideParseException):
        reason = "" if text.startswith("Error parsing") else f" ({text.partition(' expecting ')[0]})"
        return f"cannot read {error.override!r} as key=value{reason}"
    if text.startswith("Ambiguous value"):
        key = text.removeprefix("Ambiguous value for argument ")
        return f"{key} names several values, which is a sweep and needs -m"
    return text.removeprefix("ValueError raised while resolving interpolation: ")  # a resolver of ours refused
