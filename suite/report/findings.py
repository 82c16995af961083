"""The headlines of chapters whose sections do not return their own yet."""

from suite.report.blocks import Text
from suite.report.model.results import Results
from suite.report.quality_findings import quality_headlines
from suite.report.rl_findings import rl_headlines


def headlines(results: Results) -> list[Text]:
    """Return a handful of sentences of each chapter."""
    return [*quality_headlines(results), *rl_headlines(results)]
