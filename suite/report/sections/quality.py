"""Small decoders matched from nothing: recall, two hops, copying, counting, the next character; and the claims."""

from suite.report.blocks import Section, joined, say
from suite.report.claims import claims_table
from suite.report.model.results import Results
from suite.report.quality_evidence import evidence_of
from suite.report.quality_figures import figures_of
from suite.report.quality_runs import studies
from suite.report.quality_sizes import what_it_shows
from suite.report.quality_tables import contrasts_table, pairs_table, task_tables
from suite.report.quality_tasks import tasks_of
from suite.report.quoted import quoted_tables
from suite.report.verdicts import with_rule

PUBLISHED = "published_quality"


def build(results: Results) -> Section | None:
    every, found = studies(results), tasks_of(results)
    if not every:
        return None
    return Section(
        id="quality",
        title=say("quality.title"),
        explanation=joined("sentence", [say("quality.explanation"), what_it_shows(every)]),
        figures=figures_of(found),
        tables=[
            claims_table(evidence_of(results)),
            *with_rule(
                [
                    *task_tables(found),
                    *filter(None, (pairs_table(found), contrasts_table(every))),
                ]
            ),
            *quoted_tables(PUBLISHED, title="quality.published", row="quality.quoted", note="quality.published_note"),
        ],
    )
