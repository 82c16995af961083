"""The answer as JUnit XML, which most CI systems show: a verdict is a test case.

A bad exit code is bad here too, so a judgement that was cut short or judged nothing has an error of its
own: without one a reader of this file alone would see green.
"""

import re
from collections import Counter
from xml.etree import ElementTree as ET

from suite.gate.output.sentences import JudgedRow, compared, judged_rows, meaning, whole
from suite.gate.verdict import Judgement, Outcome
from suite.machine.plain_text import one_line

FAILURE, ERROR, SKIPPED, PASSED = "failure", "error", "skipped", "passed"
# Every other outcome passes. Inconclusive fails where the judgement says so.
RESULTS = {
    Outcome.SLOWER: FAILURE,
    Outcome.BROKEN: ERROR,
    Outcome.MISSING: ERROR,
    Outcome.INCOMPARABLE: ERROR,
    Outcome.INCONCLUSIVE: SKIPPED,
    Outcome.UNJUDGED: SKIPPED,
}
TOTALS = {FAILURE: "failures", ERROR: "errors", SKIPPED: "skipped"}
# Characters that XML 1.0 cannot write, not even as a reference (its production Char).
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NAME = "suite gate"
# Fields of a verdict that its test case has beside the estimate and the interval.
PROPERTIES = ("level", "allowed", "clock", "rounds", "launches", "code", "before", "after")


def junit(judgement: Judgement) -> bytes:
    """Write a judgement as JUnit XML: a test case for each verdict, an error if it was cut short or judged nothing."""
    totals: Counter[str] = Counter()
    suite = ET.Element("testsuite", name=_text(f"{NAME}: {compared(judgement)}: {meaning(judgement)}"))
    for row in judged_rows(judgement):
        is_failed = row.verdict.outcome is Outcome.INCONCLUSIVE and judgement.inconclusive_fails
        result = FAILURE if is_failed else RESULTS.get(row.verdict.outcome, PASSED)
        _add_test_case(suite, row, result)
        totals[result] += 1
    if text := whole(judgement):
        case = ET.SubElement(suite, "testcase", classname=NAME, name="whole")
        ET.SubElement(case, ERROR, message=text, type=ERROR).text = text
        totals[ERROR] += 1
    counts = {"tests": str(totals.total())} | {name: str(totals[result]) for result, name in TOTALS.items()}
    seconds = judgement.facts.get("seconds")
    counts |= {"time": f"{seconds:.3f}"} if isinstance(seconds, float) else {}
    root = ET.Element("testsuites", counts, name=NAME)
    suite.attrib.update(counts)
    root.append(suite)
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _add_test_case(suite: ET.Element, row: JudgedRow, result: str) -> None:
    """Add the test case of a verdict, with its properties and, unless it passed, `result` as an element."""
    verdict, name = row.verdict, row.quantity.replace(" · ", "·") or "case"
    case = ET.SubElement(suite, "testcase", classname=_text(verdict.case), name=_text(name))
    properties = ET.SubElement(case, "properties")
    interval = None if verdict.low is None or verdict.high is None else f"{verdict.low} {verdict.high}"
    fields = {"outcome": str(verdict.outcome), "estimate": verdict.ratio, "interval": interval}
    fields |= {name: getattr(verdict, name) for name in PROPERTIES}
    for key, value in fields.items():
        if value is not None and value != "":
            ET.SubElement(properties, "property", name=key, value=_text(str(value)))
    if result != PASSED:
        element = ET.SubElement(case, result, message=_text(row.why), type=str(verdict.outcome))
        element.text = _text("\n".join([row.why, *verdict.notes]))


def _text(text: str) -> str:
    return "\n".join(map(one_line, FORBIDDEN.sub("\ufffd", text).split("\n")))
