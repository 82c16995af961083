"""What is kept and what is dropped: tiers of information, the article's own question.

A token that bundles six details is asked for some of them often and for others rarely. Whatever a narrow cache cannot
hold, training decides; whether that is MLA's doing or any narrow cache's, and for want of room or of training, are
questions that the tables answer by rule.
"""

from suite.report.quality_tiers_family import families
from suite.report.quality_tiers_figures import figures_of
from suite.report.quality_tiers_tables import tables_of
from suite.report.results import Results
from suite.report.section import Section
from suite.report.verdicts import with_rule
from suite.report.words import Words

MOST_FAMILIES = 4


def build(results: Results, words: Words) -> Section | None:
    found = [family for family in families(results) if family.tiers]
    if not found:
        return None
    is_lone = len(found) == 1
    return Section(
        id="quality_tiers",
        title=words("quality_tiers.title"),
        explanation=words("quality_tiers.explanation"),
        figures=[one for family in found[:MOST_FAMILIES] for one in figures_of(family, words, is_lone=is_lone)],
        tables=with_rule([one for family in found for one in tables_of(family, words, is_lone=is_lone)], words),
    )
