"""Questions and what they were answered, a JSON line each, in snapshot.jsonl: the chooser's and RL's, as tests/browser
draws them, and of workload=capacity what every model holds and takes in some layout.

`python -m tests.theory.answers.snapshot` draws the questions anew and answers them, after which git
shows what a change has changed. That they are right is held elsewhere, by counts by hand and published ones.
"""

import hashlib
import itertools
import json
from dataclasses import asdict
from pathlib import Path

from suite.configuration.files import choices, read_choice, read_settings
from suite.theory.answers.capacity import CapacityPlan
from suite.theory.layers.algebra import Pass
from suite.theory.layers.layer_plan import load_plan
from tests.browser.questions import order_of, rl_answer, rl_questions, serving_answer, serving_questions

SNAPSHOT = Path(__file__).with_name("snapshot.jsonl")
DEVICES = ("h100-sxm5-80gb", "b200-sxm", "a100-80gb-sxm4")
LAYOUTS = ({}, {"tp": 4}, {"tp": 8, "cache_dtype": "fp8", "query_len": 4}, {"weights": "int4", "seq_len": 513})
SHOWN = ("kinds", "refusal", "why", "batch", "tokens_per_s", "peak_bytes", "largest_batch", "sequence_bytes")
"""What is told in full; of all the rest there is a digest."""


def questions():
    for at, question in enumerate(serving_questions()):
        yield "serve", {"order": order_of(at), **question}
    for question in rl_questions():
        yield "train", question
    for (at, name), device in itertools.product(enumerate(choices("geometry")), DEVICES):
        yield "capacity", {"geometry": name, "hardware": device, **LAYOUTS[at % len(LAYOUTS)]}

    for name in choices("geometry"):
        yield "layers", {"geometry": name}


def answered(workload, question):
    found = {"serve": serve, "train": rl_answer, "capacity": capacity, "layers": layers}[workload](question)
    first = found.get("answers", [found])[0]
    shown = {name: rounded(first[name]) for name in SHOWN if first.get(name)}
    content = json.dumps(rounded(found), sort_keys=True, default=str)
    return {**shown, "digest": hashlib.sha256(content.encode()).hexdigest()[:8]}


def serve(question):
    return serving_answer({name: value for name, value in question.items() if name != "order"}, question["order"])


def capacity(question):
    settings = {key: value for key, value in read_settings("capacity").items() if key != "defaults"}
    groups = {group: read_choice(group, question[group]) for group in ("geometry", "hardware")}
    try:
        constants = CapacityPlan({**settings, "seq_len": 32_768, "query_len": 1, **question, **groups}).constants()
    except ValueError as error:
        return {"refusal": str(error)}
    return {**constants["case"], **constants}


def layers(question):
    """The kinds of a model's layers, with what a token, a context and a step of each cost."""
    passes = [Pass(batch=3, query_len=query_len, seq_len=5000, element_bytes=2) for query_len in (1, 4, 5000)]
    kinds = [
        {
            "layer": f"{layer.count} {layer.kind}",
            "bytes": [layer.token_bytes(dtype) for dtype in (None, "fp8")],
            "cache": [layer.cache_bytes(tokens, dtype) for tokens in (100, 5000) for dtype in (None, "int8")],
            "work": [asdict(layer.layer(forward)) for forward in passes],
        }
        for layer in load_plan(question["geometry"]).layers
    ]
    return {"kinds": [kind["layer"] for kind in kinds], "all": kinds}


def rounded(content):
    """Numbers to six digits, so that the last bits of another machine's say nothing."""
    if isinstance(content, float):
        return float(f"{content:.6g}")
    if isinstance(content, dict):
        return {str(key): rounded(value) for key, value in content.items()}
    return [rounded(value) for value in content] if isinstance(content, list | tuple) else content


if __name__ == "__main__":
    lines = [json.dumps([workload, asked, answered(workload, asked)]) for workload, asked in questions()]
    SNAPSHOT.write_text("\n".join(lines) + "\n", encoding="utf-8")
