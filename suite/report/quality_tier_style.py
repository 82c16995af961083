"""How tiers are drawn, in colours that no variant of these figures has: a mark each, so that it reads in greyscale."""

from suite.report.palette import PURPLE, SKY
from suite.report.quality_run import TIERS

GREY = "#808080"
TIER_MARKS = dict(zip(TIERS, ((GREY, "circle"), (SKY, "square"), (PURPLE, "diamond")), strict=True))
