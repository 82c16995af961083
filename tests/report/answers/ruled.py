"""What the page rules of a claim, over records that are held in memory."""

from suite.report.answers.claims import verdicts_on
from suite.report.page.texts import load_texts
from tests.report.quality_records import in_memory

EN = load_texts("en")


def verdict_on(claim, *records):
    return verdicts_on(in_memory(*records), claim).get(claim)


def text_of(verdict):
    return " ".join(map(EN.render, verdict.evidence))


def ruling(claim, *records):
    """The verdict's word, and the numbers behind it."""
    verdict = verdict_on(claim, *records)
    return (EN.render(verdict.word), text_of(verdict)) if verdict else ("not measured here", "")
