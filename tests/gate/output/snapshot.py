"""Judgements in every form that the gate writes them in, as they stand in snapshot.txt: `python -m
tests.gate.output.snapshot` writes it anew, after which git shows what a change has changed."""

from pathlib import Path

from suite.gate.output import sentences
from suite.gate.output.github import annotations, markdown
from suite.gate.output.junit import junit
from suite.gate.output.terminal import lines
from suite.gate.verdict import Outcome
from tests.gate.judgements import exact, judgement, mixed, timing, whole

SNAPSHOT = Path(__file__).with_name("snapshot.txt")
JUDGEMENTS = {
    "nothing": judgement(),
    "the same": judgement(timing()),
    "two timings": judgement(timing(Outcome.SLOWER, 1.05), timing(Outcome.FASTER, 0.9), interrupted=True),
    "inconclusive": judgement(timing(Outcome.INCONCLUSIVE, 1.02), inconclusive_fails=True),
    "exact": judgement(exact(), exact(Outcome.FASTER, 30720, 24576), exact(Outcome.MISSING), whole()),
    "mixed": mixed(),
}


def shown():
    for name, judged in JUDGEMENTS.items():
        forms = {
            "terminal": lines(judged, width=100, colour=False),
            "in colour": lines(judged, width=60, colour=True)[:9],
            "annotations": annotations(judged),
            "markdown": markdown(judged).splitlines(),
            "short": markdown(judged, 3000).splitlines()[-9:],
            "junit": junit(judged).decode().replace("><", ">\n<").splitlines(),
            "facts": [*sentences.facts(judged), *map(str, sentences.differences(judged)), sentences.advice(judged)],
            "words": [sentences.compared(judged), sentences.tally(judged), sentences.meaning(judged)],
        }
        for form, texts in forms.items():
            yield f"== {name}, {form}"
            yield from map(ascii, texts)


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(shown()) + "\n", encoding="utf-8")
