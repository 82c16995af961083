"""Decoders with the weights of a case that has not been trained."""

from suite.quality.workload import QualityWorkload
from tests.quality.cases import settings


def prepared(task="tiers", attention="mha", **changes):
    workload = QualityWorkload(settings(task, attention, **changes))
    workload.prepare(None)
    return workload
