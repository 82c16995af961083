"""Judgements in every form that the gate writes them in, as they stand in snapshot.txt: `python -m
tests.gate.output.snapshot` writes it anew, after which git shows what a change has changed."""

from dataclasses import replace
from pathlib import Path

from suite.gate.output import sentences
from suite.gate.output.github import annotations, markdown
from suite.gate.output.junit import junit
from suite.gate.output.terminal import lines
from suite.gate.verdict import Outcome, Side
from tests.gate.judgements import FACTS, case_id, exact, judgement, mixed, timing, whole

SNAPSHOT = Path(__file__).with_name("snapshot.txt")
UNDECIDED = timing(Outcome.INCONCLUSIVE, 1.2, high=1.4)
BLIND = replace(timing(Outcome.INCONCLUSIVE, reason="too few launches"), ratio=None, low=None, high=None)
JUDGEMENTS = {
    "nothing": judgement(),
    "the same": judgement(timing()),
    "two timings": judgement(timing(Outcome.SLOWER, 1.05), timing(Outcome.FASTER, 0.9), interrupted=True),
    "inconclusive": judgement(timing(Outcome.INCONCLUSIVE, 1.02), inconclusive_fails=True),
    "exact": judgement(exact(), exact(Outcome.FASTER, 30720, 24576), exact(Outcome.MISSING), whole()),
    "mixed": mixed(),
    "many alike": judgement(
        *(timing(case=case_id(seq_len=512 * n), ratio=1 + n / 1000) for n in range(1, 10)),
        *(whole(Outcome.UNJUDGED, case=case_id(seq_len=512 * n)) for n in range(1, 10)),
        *(replace(BLIND, case=case_id(seq_len=512 * n)) for n in range(1, 10)),
        *(timing(Outcome.INCONCLUSIVE, case=case_id(batch=n)) for n in range(1, 3)),
    ),
    "thirteen slower": judgement(*(timing(Outcome.SLOWER, 2 - n / 100, case=case_id(seq_len=n)) for n in range(1, 14))),
}
"""In every form."""
CHANGES = {
    **{
        f"{ratio}, {low} to {high}": replace(timing(), ratio=ratio, low=low, high=high)
        for ratio, low, high in (
            (1.052, 1.041, 1.063),
            (0.95, 0.94, 0.96),
            (1.0, 0.99, 1.01),
            (1.0001, None, None),
            (25.0, 20.0, 31.0),
            (float("inf"), None, None),
            (None, None, None),
        )
    },
    "bytes": exact(),
    "one byte of a billion": exact(before=1e9, after=1e9 + 1),
    "a whole case": whole(),
}
CODED = {
    "missing and slower": judgement(whole(Outcome.MISSING), timing(Outcome.SLOWER)),
    "slower and incomparable": judgement(timing(Outcome.SLOWER), whole(Outcome.INCOMPARABLE)),
    "incomparable": judgement(whole(Outcome.INCOMPARABLE), timing(Outcome.INCONCLUSIVE)),
    "settings": judgement(whole(Outcome.INCOMPARABLE, case=sentences.SETTINGS), timing()),
    "inconclusive": judgement(timing(Outcome.INCONCLUSIVE)),
    "new": judgement(whole(Outcome.NEW)),
    "the first": judgement(whole(Outcome.NEW), facts={"first": True}),
    "new and unjudged": judgement(whole(Outcome.NEW), whole(Outcome.UNJUDGED), facts={"first": True}),
    "undecided": judgement(*[UNDECIDED] * 16),
    "one undecided": judgement(UNDECIDED, timing(), exact(Outcome.SAME)),
    "undecided without a time": judgement(whole(Outcome.INCONCLUSIVE)),
    "unjudged": judgement(timing(), whole(Outcome.UNJUDGED)),
    "undecided and slower": judgement(UNDECIDED, timing(Outcome.SLOWER)),
    "cut short": judgement(timing(Outcome.SLOWER), interrupted=True),
    "plain sides": judgement(
        before=Side(label="0123456789", commit="0123456789abcdef"), after=Side(label="b"), form="stored"
    ),
    "unknown facts": judgement(
        timing(rounds=8),
        timing(rounds=64),
        facts={"clock": "wall", "floor": {"odd": 1}, "launches": 10**400},
    ),
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
        }
        for form in [*forms][:4] if len(judged.verdicts) > 12 and name != "mixed" else forms:
            texts = forms[form]
            yield f"== {name}, {form}"
            yield from map(ascii, texts)
    for name, verdict in CHANGES.items():
        yield f"== {name}"
        words = [sentences.change(verdict), sentences.most(verdict), *sentences.values(verdict)]
        yield from map(ascii, words)
    for name, judged in CODED.items():
        yield f"== {name}"
        words = [sentences.compared(judged), sentences.tally(judged), sentences.advice(judged)]
        told = [f"exit code {judged.exit_code}: {sentences.meaning(judged)}"]
        yield from map(ascii, [*words, *told, *(() if judged.facts is FACTS else sentences.facts(judged))])


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(shown()) + "\n", encoding="utf-8")
