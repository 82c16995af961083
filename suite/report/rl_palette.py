"""How an algorithm is named and drawn: a colour, a dash and a marker, so that it reads in greyscale too."""

from typing import Any

from suite.report.palette import BLUE, FILLS, GREEN, ORANGE, PURPLE, SKY, VERMILION, Style

NAMES = {
    "ppo": "PPO",
    "ppo_lam95": "PPO λ 0.95",
    "grpo": "GRPO",
    "grpo_token_mean": "GRPO token mean",
    "dr_grpo": "Dr. GRPO",
    "dapo": "DAPO",
    "gspo": "GSPO",
    "rloo": "RLOO",
    "reinforce_plus_plus": "REINFORCE++",
    "reinforce_plus_plus_baseline": "REINFORCE++ baseline",
}
"""In the order of tables and legends. An algorithm that is not here is called as its file is."""
STYLES = {
    "ppo": Style(colour=VERMILION, dash="solid", marker="circle"),
    "ppo_lam95": Style(colour=ORANGE, dash="dash", marker="diamond"),
    "grpo": Style(colour=BLUE, dash="solid", marker="square"),
    "grpo_token_mean": Style(colour=SKY, dash="dash", marker="triangle-up"),
    "dr_grpo": Style(colour=GREEN, dash="dashdot", marker="triangle-down"),
    "dapo": Style(colour=SKY, dash="dot", marker="pentagon"),
    "gspo": Style(colour=BLUE, dash="longdash", marker="hexagon"),
    "rloo": Style(colour=PURPLE, dash="longdashdot", marker="cross"),
    "reinforce_plus_plus": Style(colour=GREEN, dash="longdash", marker="star"),
    "reinforce_plus_plus_baseline": Style(colour=PURPLE, dash="dot", marker="hourglass"),
}
OTHER = Style(colour="#808080", dash="solid", marker="x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
BAND_OPACITY = 0.11


def shown_algorithm(name: str) -> str:
    return NAMES.get(name, name)


def algorithm_rank(name: str) -> tuple[int, str]:
    """Sorts algorithms as `NAMES` has them, those that we do not know last."""
    known = list(NAMES)
    return (known.index(name) if name in NAMES else len(known), name)


def algorithm_style(name: str, ordinal: int) -> dict[str, Any]:
    """Plotly's line and marker for the `ordinal`-th arm of an algorithm."""
    style = STYLES.get(name, OTHER)
    dash = DASHES[(DASHES.index(style.dash) + ordinal) % len(DASHES)]
    return {
        "line": {"color": style.colour, "dash": dash, "width": 2 if ordinal == 0 else 1.5},
        "marker": {"color": style.colour, "symbol": style.marker + FILLS[ordinal % len(FILLS)], "size": 7},
    }


def band_colour(name: str) -> str:
    """An algorithm's colour, faint enough for several to lie over each other."""
    colour = STYLES.get(name, OTHER).colour
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{BAND_OPACITY})"
