"""The settings of one case, or of every point of a sweep, as Hydra composes them, without what does not apply.

A sweep is one cross product, as Hydra's own sweeper makes it, or several: see suite.compose.sweeps.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import ConfigCompositionException, OverrideParseException
from omegaconf import OmegaConf

from suite.compose.hydra_app import REFUSALS as REFUSALS
from suite.compose.hydra_app import call_hydra, collect_points, known_keys, other_engines, remove_hydras_own
from suite.compose.inapplicable import (
    Alone,
    as_if_not_named,
    drop_inapplicable,
    inapplicable_to_all,
    is_why,
    no_such_setting,
    note_unused,
    refusal_of,
)
from suite.compose.overrides import (
    MULTIRUN,
    check_options,
    checked_flags,
    forced,
    key_of,
    parse_overrides,
    settings_in,
    typed_keys,
    with_mirrors,
)
from suite.compose.point import SweepPoint
from suite.compose.shorthand import with_full_names
from suite.compose.sweeps import checked_parts, overrides_of
from suite.configuration.files import conf_dir, no_choice

PLACES_OF_PARTS = ("sweep", "parts")
SEED = "seed"


def compose(arguments: Sequence[str]) -> list[SweepPoint]:
    """Let Hydra compose every point. Raises its errors, or ValueError, for what cannot be composed.

    In a sweep a setting of one option may stand beside others that do not have it, or fix it, as in
    `attention=mha,gqa,mla attention.kv_heads=2,4`: it is null for those. What the command line sets wins over a part's
    value, and applies to the parts that know it. What is named and used by no point is refused, unless a sweep's file
    names it and the command line is why.
    """
    arguments = checked(arguments)
    try:
        parts = _parts(arguments)
        alone = _alone([argument for argument in arguments if argument.startswith("hydra.searchpath")])
        if parts:
            return _compose_parts(parts, arguments, alone)
        composed = _cross_product(arguments, alone)
    except ConfigCompositionException as error:
        if (key := unknown_key(error)) is None:
            raise
        raise ValueError(no_such_setting(key, known_keys(arguments))) from error
    typed = typed_keys(arguments)
    for key in inapplicable_to_all(composed):
        if key in typed or not is_why(typed, key, composed):
            raise ValueError(refusal_of(key, composed))
    return composed


def checked(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with full names, and with the mirror of a store in place of its URL. Raises ValueError for
    flags and options that do not exist."""
    written = with_mirrors([with_full_names(argument) for argument in checked_flags(arguments)])
    check_options(settings_in(written))
    return written


def hand_over(task: Callable[[Any], Any], arguments: Sequence[str]) -> Path | None:
    """Let the launcher or sweeper that the arguments name run the task function on each point; return the sweep's
    folder, or None where they name none but Hydra's basic ones, and nothing has run.

    Raises Hydra's errors, those of the task function, or ValueError for a sweep of several parts.
    """
    arguments = checked(arguments)
    engines, folder = other_engines(arguments)
    if not engines:
        return None
    if _parts(arguments):
        raise ValueError(f"a sweep of several parts needs Hydra's basic launcher and sweeper; got {', '.join(engines)}")
    try:
        call_hydra(task, arguments)
    finally:
        remove_hydras_own(folder)
    return folder


def _compose_parts(parts: Sequence[Mapping[str, Any]], arguments: Sequence[str], alone: Alone) -> list[SweepPoint]:
    """Compose one part after the other, and refuse what does not apply to any point of one unless the command line is
    why. Seeds that no part names are outermost: an interrupted sweep has then run every part equally often."""
    typed = typed_keys(arguments)
    composed: list[SweepPoint] = []
    unknown: list[set[str]] = []
    for part in parts:
        # Forced at once: a part that Hydra gave up half way would be composed twice.
        own = [forced(with_full_names(override)) for override in overrides_of(part, typed=typed)]
        check_options(settings_in(own))
        rest = (argument for argument in arguments if argument not in MULTIRUN)
        points = _cross_product(["-m", *own, *rest], alone, is_part=True, after=len(composed))
        inapplicable = set(inapplicable_to_all(points))
        for key in sorted(inapplicable - typed):
            if not is_why(typed, key, points):
                raise ValueError(refusal_of(key, points))
        composed += as_if_not_named(points, inapplicable & typed)
        unknown.append(inapplicable & typed)
    for key in sorted(set.intersection(*unknown)):
        raise ValueError(refusal_of(key, points))
    if any(SEED in part for part in parts):
        return composed
    seeds = list(dict.fromkeys(point.settings[SEED] for point in composed))
    return sorted(composed, key=lambda point: seeds.index(point.settings[SEED]))


def _parts(arguments: Sequence[str]) -> list[dict[str, Any]]:
    """The parts that the sweep's file or the command line gives; none where Hydra answers by itself."""
    flags = {argument for argument in arguments if argument.startswith("-")}
    if not flags or flags - MULTIRUN:
        return []
    written = parse_overrides(arguments)
    places = [override for override in written if key_of(override) in PLACES_OF_PARTS]
    if not places or any(place.is_sweep_override() for place in places):
        return []
    places += [override for override in written if key_of(override) == "hydra.searchpath"]
    with hydra.initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        config = hydra.compose(config_name="run", overrides=[str(place.input_line) for place in places])
    return checked_parts(OmegaConf.to_container(config, resolve=False)["parts"])


def _cross_product(
    arguments: Sequence[str], alone: Alone, *, is_part: bool = False, after: int = 0
) -> list[SweepPoint]:
    """Compose the points of one cross product without the settings that do not apply to them; or the single run."""
    try:
        points = collect_points(arguments, is_part=is_part, after=after)
    except ConfigCompositionException as error:
        added = [forced(argument) for argument in arguments]
        if not MULTIRUN & set(arguments) or "Could not override" not in str(error) or added == list(arguments):
            raise
        points = collect_points(added, is_part=is_part, after=after)
    if points and points[0].is_sweep and any(point.forced or point.fixed for point in points):
        points = drop_inapplicable(points, alone)
    return note_unused(points)


def _alone(searchpath: Sequence[str]) -> Alone:
    """A function that composes a group under one of its options, with nothing else set."""

    @functools.cache
    def alone(folder: Path, group: str, option: str) -> Any:
        quoted = str(folder).replace("'", "\\'")
        (only,) = collect_points(["-m", *searchpath, f"hydra.sweep.dir='{quoted}'", f"{group}={option}"])
        return only.settings[group]

    return alone


def sentence(error: Exception) -> str:
    """Shorten Hydra's refusal to the words that a person needs to mend the call."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    missing = getattr(error, "missing_cfg_file", None)
    options = getattr(error, "options", None)
    if missing and options:
        group, _, name = str(missing).rpartition("/")
        return no_choice(group, name, options)
    if (key := unknown_key(error)) is not None:
        return no_such_setting(key)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as key=value ({text.partition(' expecting ')[0]})"
    if text.startswith("Ambiguous value"):
        return (
            f"{text.removeprefix('Ambiguous value for argument ')} names several values, which is a sweep and needs -m"
        )
    return text


def unknown_key(error: Exception) -> str | None:
    """Return the key that Hydra could not override; None where it says something else."""
    text = str(error).strip().partition("\n")[0]
    if "is not in struct" not in text and "Could not override" not in text:
        return None
    return text.split("'")[1] if "'" in text else text
