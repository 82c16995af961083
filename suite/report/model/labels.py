"""Names and looks of options: an option's own YAML says so under `shown`. An option without one goes by its name.

Okabe and Ito's colours, each with a dash and a marker, so that lines read in greyscale too. Black and yellow are left
out: one vanishes on a dark page, the other on a light one.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from suite.configuration.files import choices, read_look
from suite.records import numbers
from suite.records.record import Record
from suite.report.blocks import Say, Text, say_or

BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GREY = "#808080"
COLOURS = {
    "blue": BLUE,
    "sky": SKY,
    "green": GREEN,
    "orange": ORANGE,
    "vermilion": VERMILION,
    "purple": PURPLE,
    "grey": GREY,
}
LONGEST_COUNT = 16  # digits of a setting from which it is no count
VARIANT, ALGORITHM, RECIPE = "attention", "algorithm", "recipe"
FACETS = (
    *("algorithm", "variant", "geometry", "model", "phase", "dtype", "label", "device"),
    *("task", "policy", "setting", "evidence"),
)
"""Facets by which a reader can filter the page. Each is called as its column is: column.variant and so on."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A colour, a dash and a marker."""

    colour: str
    dash: str = "solid"
    marker: str = "circle"


OTHER = Style(colour=GREY, marker="x")  # what is no option: its name tells it apart
# Looks of options of other packages, which none of ours has.
FOREIGN_COLOURS = ("#8C564B", "#17807E", "#7A4FA3", "#8A6D00", "#B5306E")
FOREIGN_MARKERS = ("star-triangle-up", "star-square", "octagon", "hexagram", "diamond-tall", "star-triangle-down")
FOREIGN_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True, kw_only=True)
class Look:
    """The name and the style of an option of a configuration group, and its place among the others."""

    label: str
    style: Style
    place: int


@functools.cache
def looks(group: str) -> Mapping[str, Look]:
    """The looks of a group's options, in their order in tables and legends."""
    by_name = {}
    for name in choices(group):
        if look := read_look(group, name):
            style = Style(colour=COLOURS[look["colour"]], dash=look["dash"], marker=look["marker"])
            by_name[name] = Look(label=look["label"], style=style, place=look["place"])
    return dict(sorted(by_name.items(), key=lambda item: item[1].place))


def option_label(group: str, name: str) -> str:
    """What people call an option, by its YAML.

    For one without a look: the name itself, or for a variant `MLA (latent)`, made from `mla_latent`.
    """
    if name in looks(group):
        return looks(group)[name].label
    if group != VARIANT:
        return name
    kind, _, mode = name.partition("_")
    return f"{kind.upper()} ({mode.replace('_', ' ')})" if mode else kind.upper()


def option_style(group: str, name: str) -> Style:
    """How an option is drawn, by its YAML; without a look there, by a digest of its name, alike on every page."""
    if name in looks(group):
        return looks(group)[name].style
    digest = crc32(name.encode(errors="replace"))  # Python's own hash of a text differs from run to run
    return Style(
        colour=FOREIGN_COLOURS[digest % len(FOREIGN_COLOURS)],
        dash=FOREIGN_DASHES[(digest >> 8) % len(FOREIGN_DASHES)],
        marker=FOREIGN_MARKERS[(digest >> 16) % len(FOREIGN_MARKERS)],
    )


def option_sort_key(group: str, name: str) -> tuple[int, str]:
    """Sorts options as their YAML places them, then unknown ones by name."""
    look = looks(group).get(name)
    return (look.place if look else len(looks(group)), name)


def variant_label(variant: str) -> str:
    """A variant's name for people: MLA, and MLA (latent) for `mla_latent`."""
    return option_label(VARIANT, variant)


def variant_sort_key(variant: str) -> tuple[int, str]:
    """Sorts variants from the widest cache to the most compressed, then unknown ones by name."""
    return option_sort_key(VARIANT, variant)


def variant_style(variant: str) -> Style:
    return option_style(VARIANT, variant)


def case_facets(axes: Mapping[str, Any]) -> dict[str, Text]:
    """Geometry, phase and dtype of a case, as a reader is shown them; an axis that the case lacks is left out."""
    named: dict[str, Text] = {name: str(axes.get(name) or "") for name in ("geometry", "phase", "dtype")}
    return {name: phase_name(str(text)) if name == "phase" else text for name, text in named.items() if text}


def name_facets(axes: Mapping[str, Any]) -> dict[str, Text]:
    """The labels of a case's attention variant and algorithm, each where the case has one."""
    variant, algorithm = (str(axes.get(name) or "") for name in (VARIANT, ALGORITHM))
    named: dict[str, Text] = {"algorithm": option_label(ALGORITHM, algorithm), "variant": variant_label(variant)}
    return {name: text for name, text in named.items() if text}


def record_facets(record: Record) -> dict[str, Text]:
    """The facets of a record's case: geometry, phase, dtype, algorithm and variant, of those that it has."""
    return case_facets(record.case.axes) | name_facets(record.case.axes)


def setting_text(name: str, value: str) -> Text:
    """A setting and its value in plain words; `name=value` where the texts have none."""
    text = numbers.count(int(value)) if value.isdecimal() and len(value) < LONGEST_COUNT else value
    return Say(f"setting.{name}.{value}", otherwise=Say(f"setting.{name}", (("value", text),), f"{name}={value}"))


def phase_name(phase: str) -> Text:
    """The word for a phase (decode, prefill or train) in the reader's language; an unknown one as it is."""
    return say_or(f"phase.{phase}", phase)
