"""How an algorithm, a recipe or what a reward is of is named and drawn: a colour, a dash and a marker, so that it reads
in greyscale too."""

from typing import Any

from suite.report.model.labels import looks
from suite.report.palette import BLUE, FILLS, GREEN, VERMILION, Style

NAMES = {name: look.label for name, look in looks("algorithm").items()}
RECIPES = {name: look.label for name, look in looks("recipe").items()}
ALGORITHM, RECIPE = "algorithm", "recipe"
STYLES = {
    **{name: look.style for name, look in looks("algorithm").items()},
    **{f"recipe={name}": look.style for name, look in looks("recipe").items()},
    "supervision=outcome": Style(colour=BLUE, dash="solid", marker="circle"),
    "supervision=process": Style(colour=VERMILION, dash="dash", marker="square"),
    "reward_from=key": Style(colour=BLUE, dash="solid", marker="circle"),
    "reward_from=majority": Style(colour=GREEN, dash="dashdot", marker="diamond"),
}
"""By an algorithm's name, or by a setting and its value."""
OTHER = Style(colour="#808080", dash="solid", marker="x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
BAND_OPACITY = 0.11


def shown_algorithm(name: str) -> str:
    return NAMES.get(name, name)


def led_by(lead: str, value: str) -> str:
    """The name of a style: an algorithm's own, else the setting with its value."""
    return value if lead == ALGORITHM else f"{lead}={value}"


def shown_lead(lead: str, value: str) -> str:
    """What an arm is called first, by the setting that its comparison is about."""
    known = {ALGORITHM: NAMES, RECIPE: RECIPES}.get(lead)
    return f"{lead}={value}" if known is None else known.get(value, value)


def lead_rank(lead: str, value: str) -> tuple[int, str]:
    """Sorts arms as `NAMES`, `RECIPES` and `STYLES` have them, those that we do not know last."""
    known = list({ALGORITHM: NAMES, RECIPE: RECIPES}.get(lead, STYLES))
    name = value if lead in (ALGORITHM, RECIPE) else led_by(lead, value)
    return (known.index(name) if name in known else len(known), value)


def arm_style(name: str, ordinal: int) -> dict[str, Any]:
    """Plotly's line and marker for the `ordinal`-th arm of a style."""
    style = STYLES.get(name, OTHER)
    dash = DASHES[(DASHES.index(style.dash) + ordinal) % len(DASHES)]
    return {
        "line": {"color": style.colour, "dash": dash, "width": 2 if ordinal == 0 else 1.5},
        "marker": {"color": style.colour, "symbol": style.marker + FILLS[ordinal % len(FILLS)], "size": 7},
    }


def band_colour(name: str) -> str:
    """A style's colour, faint enough for several to lie over each other."""
    colour = STYLES.get(name, OTHER).colour
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{BAND_OPACITY})"
