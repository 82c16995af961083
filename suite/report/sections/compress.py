"""A published model with a smaller cache, read on held-out plays: what it costs, and which words pay first."""

from suite.report.blocks import Section, joined, say
from suite.report.compress_figures import figures_of
from suite.report.compress_runs import compress_studies
from suite.report.compress_tables import tables_of
from suite.report.model.results import Results

MOST_STUDIES = 4


def build(results: Results) -> Section | None:
    found = compress_studies(results)
    if not found:
        return None
    is_lone = len(found) == 1
    return Section(
        id="compress",
        title=say("compress.title"),
        explanation=joined("sentence", [say("compress.explanation"), say("compress.limits")]),
        figures=[one for study in found[:MOST_STUDIES] for one in figures_of(study, is_lone=is_lone)],
        tables=[one for study in found for one in tables_of(study, is_lone=is_lone)],
    )
