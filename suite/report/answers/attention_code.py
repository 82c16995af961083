"""The ruling on whether MLA is hard to implement: by its lines and matrices, and by what a form of call costs."""

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

import suite
from suite.records import numbers
from suite.report.answers.attention_time import RIVALS, machine_of
from suite.report.answers.claims import CONTRADICTED, LEFT_OPEN, MIXED, SUPPORTED, Verdict, trial_design
from suite.report.answers.leads import lead_of_times
from suite.report.attention import callstyle
from suite.report.attention.timings import LAYER, Timing
from suite.report.blocks import joined, say
from suite.report.model.labels import variant_label
from suite.report.model.results import Results
from suite.statistics.intervals import Ratio, ratio_of_medians

OTHER_MODES = (
    *("ExpandedLatentAttention", "ExpandedOnceLatentAttention", "ReexpandingLatentAttention", "for_training"),
    *("write_expanded", "split_expanded", "_up"),
)
"""What of latent.py absorbed attention, the mode that is deployed, can do without."""
MANY_LINES = 2.0
"""A layer of so many times as many lines is harder to write, by any reading."""
CODE = Path(suite.__file__).parent / "attention"


@dataclass(frozen=True, kw_only=True)
class Code:
    """The contents of a layer's file: lines that are code, and weights that are matrices."""

    lines: int
    matrices: int


@functools.cache
def code_of(file: str) -> Code:
    """Count a layer's lines of code and its matrices, without imports, docstrings, comments and OTHER_MODES."""
    tree = ast.parse((CODE / file).read_text(encoding="utf-8"))
    lines, matrices, left_out = set[int](), 0, set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in OTHER_MODES:
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for top in tree.body:
        if isinstance(top, ast.ClassDef | ast.FunctionDef):
            strings = {
                id(part)
                for node in ast.walk(top)
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                for part in (node, node.value)
            }
            for node in ast.walk(top):
                if isinstance(node, ast.expr | ast.stmt) and id(node) not in strings:
                    lines.add(node.lineno)
                is_matrix = (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "init_weight"
                )
                matrices += is_matrix
    return Code(lines=len(lines - left_out), matrices=matrices)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The slowest and the fastest form of one computation."""

    family: str
    slowest: Timing
    fastest: Timing
    forms: int

    @property
    def ratio(self) -> Ratio:
        return ratio_of_medians(self.slowest.interval, self.fastest.interval)

    @property
    def case(self) -> tuple[object, ...]:
        timing = self.slowest
        return (
            timing.label,
            timing.span,
            tuple(map(timing.axis, ("geometry", "phase", "dtype", "seq_len", "query_len", "threads"))),
        )


def spreads(results: Results) -> list[Spread]:
    """Return the spread of each computation over the forms of a call, its modes among them, of whole layers."""
    found = []
    for of_subject in callstyle.computations(results, (callstyle.OURS,)):
        for forms in of_subject:
            layers = sorted((form[LAYER] for form in forms if LAYER in form), key=lambda timing: timing.median_s)
            if len({timing.backend for timing in layers}) > 1:
                family = callstyle.family_of(forms[0])
                found.append(Spread(family=family, slowest=layers[-1], fastest=layers[0], forms=len(layers)))
    return found


def hard_to_implement(results: Results) -> Verdict | None:
    """Rule on how hard MLA is to write: by the lines of its layer over MHA's, and by the spread of speed over forms of
    a call beside those of MHA and GQA.

    Each of the two bears the claim out where MLA's is larger, the lines by MANY_LINES; both together support it.
    """
    mla, others = code_of("latent.py"), code_of("grouped.py")
    found = spreads(results)
    of_mla = [one for one in found if one.family == "mla"]
    if not of_mla:
        return None
    times = mla.lines / others.lines
    code = SUPPORTED if times >= MANY_LINES else CONTRADICTED if times <= 1 else LEFT_OPEN
    pairs = [(one, other) for one in of_mla for other in found if other.family in RIVALS and other.case == one.case]
    wider = [(one, other) for one, other in pairs if one.ratio.low > other.ratio.high]
    narrower = [(one, other) for one, other in pairs if one.ratio.high < other.ratio.low]
    spread = SUPPORTED if wider and not narrower else CONTRADICTED if narrower and not wider else LEFT_OPEN
    outcome = code if code == spread else MIXED if SUPPORTED in (code, spread) else LEFT_OPEN
    at = {name: str(value) for name, value in trial_design("mla-hard-to-implement")["at"].items()}
    lead = min(
        of_mla, key=lambda one: (-sum(one.slowest.axis(name) == value for name, value in at.items()), str(one.case))
    )
    beside_it = [other for one, other in pairs if one is lead]
    fields = {
        "lines": mla.lines,
        "other_lines": others.lines,
        "matrices": mla.matrices,
        "other_matrices": others.matrices,
    }
    counts = {"wider": len(wider), "narrower": len(narrower), "total": len(pairs)}
    about = say(
        "answer.about.spread",
        forms=lead.forms,
        geometry=lead.slowest.axis("geometry"),
        tokens=numbers.count(lead.slowest.tokens or 0),
        dtype=lead.slowest.axis("dtype"),
    )
    told = [
        say("answer.told.beside", name=variant_label(other.family), ratio=numbers.times(other.ratio.ratio))
        for other in beside_it
    ]
    return Verdict(
        outcome=outcome,
        evidence=[
            say("answer.told.code", **fields),
            *([say("answer.told.spread", **counts)] if pairs else []),
            *([say("answer.told.beside_it", told=joined("notes", told))] if told else []),
        ],
        lead=lead_of_times(lead.ratio, about, [lead.slowest.interval, lead.fastest.interval]),
        flips=joined(
            "sentence", [say("answer.flips.code", **fields), say("answer.told.spread", **counts) if pairs else ""]
        ),
        machine=machine_of(lead.slowest),
        suffices=bool(pairs),
    )
