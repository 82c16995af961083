"""What is kept and what is dropped: tiers of information, the article's own question.

A token that bundles six details is asked for some of them often and for others rarely. Whatever a narrow cache cannot
hold, training decides; whether that is MLA's doing or any narrow cache's, and for want of room or of training, are
questions that the tables answer by rule.
"""

from suite.report.blocks import Section, say
from suite.report.model.results import Results
from suite.report.quality_tiers_family import families
from suite.report.quality_tiers_figures import figures_of
from suite.report.quality_tiers_tables import tables_of
from suite.report.verdicts import with_rule

MOST_FAMILIES = 4


def build(results: Results) -> Section | None:
    found = [family for family in families(results) if family.tiers]
    if not found:
        return None
    is_lone = len(found) == 1
    return Section(
        id="quality_tiers",
        title=say("quality_tiers.title"),
        explanation=say("quality_tiers.explanation"),
        figures=[one for family in found[:MOST_FAMILIES] for one in figures_of(family, is_lone=is_lone)],
        tables=with_rule([one for family in found for one in tables_of(family, is_lone=is_lone)]),
    )
