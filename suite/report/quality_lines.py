"""Sizes of one variant: as one line of a figure, or as lines that fade from its widest cache to its narrowest."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.report.alike import Pairs
from suite.report.blocks import Text, say
from suite.report.palette import shown, style_of
from suite.report.quality_names import variant_name
from suite.report.quality_run import HEAD_DIM, KV_HEADS, LATENT_NORM, ROPE_DIM
from suite.report.quality_runs import Arm
from suite.report.rl_palette import DASHES

FAINTEST = 0.45


def line_key(arm: Arm) -> Pairs:
    """What the sizes along one line agree in."""
    sizes = dict(arm.variant)
    return (("attention", arm.attention), *((name, sizes.get(name, "")) for name in (ROPE_DIM, LATENT_NORM)))


def ordinals_of(lines: Mapping[Pairs, Sequence[Arm]]) -> dict[Pairs, int]:
    """Which line of its variant each is."""
    return {
        key: sum(other < key and dict(other)["attention"] == dict(key)["attention"] for other in lines) for key in lines
    }


def line_name(arm: Arm, line: Sequence[Arm]) -> Text:
    if len(line) == 1:
        return variant_name(arm)
    sizes, name = dict(arm.variant), shown(arm.attention)
    if sizes.get(ROPE_DIM) == "0":
        name = say("quality.name.no_rope", name=name)
    if sizes.get(LATENT_NORM) == "false":
        name = say("quality.name.no_norm", name=name)
    what = "rank" if arm.is_latent else "groups" if _has_groups(line) else "width" if _has_widths(line) else ""
    return say(f"quality.line.{what}", name=name) if what else name


def size_text(arm: Arm, line: Sequence[Arm]) -> str:
    """What tells a mark from the others of its line, if there are any."""
    if len(line) == 1:
        return ""
    sizes = dict(arm.variant)
    if arm.is_latent:
        return str(arm.latent_rank or "")
    parts = [sizes.get(KV_HEADS, "")] if _has_groups(line) else []
    parts += [sizes.get(HEAD_DIM) or arm.runs[0].setting(HEAD_DIM)] if _has_widths(line) else []
    return "×".join(filter(None, parts))


def _has_groups(line: Sequence[Arm]) -> bool:
    return any(dict(arm.variant).get(KV_HEADS) for arm in line)


def _has_widths(line: Sequence[Arm]) -> bool:
    return any(not arm.is_wide for arm in line)


def fading(arm: Arm, alike: Sequence[Arm]) -> dict[str, Any]:
    """The line of an arm among those of its variant, which are in order."""
    place, style = list(alike).index(arm), style_of(arm.attention)
    dash = DASHES[(DASHES.index(style.dash) + place) % len(DASHES)]
    return {
        "opacity": round(1 - (1 - FAINTEST) * place / max(1, len(alike) - 1), 2),
        "line": {"color": style.colour, "dash": dash, "width": 2},
    }
