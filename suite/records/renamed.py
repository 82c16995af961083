"""Names of variants that changed their meaning, and one name for what has two.

They are applied when a case is made or read, and when settings are compared; files stay as they are.

`attention=mla` was absorbed in every phase and said no mode. It now is what one deploys, which absorbs in decode alone:
in a prefill and in training an older record of it is read as `mla_absorbed`. In decode all of them are one case, `mla`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suite.records.case import Case

MODES = {
    "suite.attention.latent.AbsorbedLatentAttention": "absorbed",
    "suite.attention.latent.ReexpandingLatentAttention": "latent",
    "suite.attention.latent.ExpandedLatentAttention": "expanded",
}
"""Mode of a case that does not say its own, by the code that it ran."""
NAMES = {
    ("mla", "prefill"): "mla_absorbed",
    ("mla", "train"): "mla_absorbed",
}
"""Today's name of a variant, by its name and phase in a case that does not say its mode."""
SAME = {("mla_absorbed", "decode"): "mla"}
"""The one name of a case that has two, by variant and phase."""


def by_one_name(case: "Case") -> "Case":
    """Return the case under its one name, where it has two."""
    return _called(case, SAME.get(_asked(case)))


def as_named_now(case: "Case", settings: Mapping[str, Any]) -> "Case":
    """Return a case, which may be an old one, under the name of today."""
    return case if says_mode(settings) else _called(case, NAMES.get(_asked(case)))


def _asked(case: "Case") -> tuple[str, str]:
    return str(case.axes.get("attention")), str(case.axes.get("phase"))


def _called(case: "Case", variant: str | None) -> "Case":
    return case if variant is None else replace(case, axes={**case.axes, "attention": variant})


def with_mode(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the mode that today's settings say. A language model with `attention=mla`, which has no phase, says none: it
    trains expanded and decodes absorbed."""
    attention = settings.get("attention")
    if not isinstance(attention, Mapping) or says_mode(settings):
        return settings
    mode = MODES.get(str(attention.get("_target_")))
    if mode is None or (mode == "absorbed" and settings.get("phase") is None):
        return settings
    return {**settings, "attention": {**attention, "mode": mode}}


def says_mode(settings: Mapping[str, Any]) -> bool:
    attention = settings.get("attention")
    return isinstance(attention, Mapping) and "mode" in attention
