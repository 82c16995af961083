"""What an arm of workload=quality is called: MLA rank 16, GQA-2, MQA with heads of 8, MLA rank 16 without RoPE."""

from suite.records import numbers
from suite.report.blocks import Text, joined, say
from suite.report.palette import shown
from suite.report.quality_run import HEAD_DIM, KV_HEADS, LATENT_NORM, RANK, ROPE_DIM
from suite.report.quality_runs import Arm

NAMED = (RANK, KV_HEADS, HEAD_DIM, LATENT_NORM)
"""Sizes that the name says in words."""
MOST_NAMED = 3


def variant_name(arm: Arm) -> Text:
    sizes = dict(arm.variant)
    name = shown(arm.attention)
    if arm.latent_rank is not None:
        name = say("quality.name.rank", name=name, rank=arm.latent_rank)
    elif sizes.get(KV_HEADS):
        name = joined("-", [name, sizes[KV_HEADS]])
    if not arm.is_wide:
        name = say("quality.name.heads", name=name, width=sizes.get(HEAD_DIM) or numbers.NOTHING)
    if sizes.get(ROPE_DIM) == "0":
        name = say("quality.name.no_rope", name=name)
    if sizes.get(LATENT_NORM) == "false":
        name = say("quality.name.no_norm", name=name)
    rest = [
        f"{size.partition('.')[2]}={value}"
        for size, value in arm.variant
        if value and "." in size and size not in NAMED and (size, value) != (ROPE_DIM, "0")
    ]
    return joined(" ", [name, f"({', '.join(rest)})"]) if rest else name


def listed(names: list[str]) -> Text:
    """The first few of many, and how many more there are."""
    shown_ones = joined("list", names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return say("quality.and_more", names=shown_ones, count=numbers.count(more)) if more > 0 else shown_ones
