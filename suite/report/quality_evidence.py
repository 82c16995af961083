"""What each label of the page has for claims to be decided by."""

from suite.report.model.results import Results
from suite.report.quality.compress_design import compress_studies
from suite.report.quality_rulings import Evidence
from suite.report.quality_runs import studies
from suite.report.quality_tasks import tasks_of
from suite.report.quality_tiers_family import families


def evidence_of(results: Results) -> dict[str, Evidence]:
    """By label, of those that have runs of workload=quality."""
    labels = dict.fromkeys(study.label for study in studies(results))
    return {
        label: Evidence(
            families=[family for family in families(results) if family.main.label == label],
            tasks=[study for study in tasks_of(results) if study.label == label],
            compressed=[study for study in compress_studies(results) if study.label == label],
        )
        for label in labels
    }
