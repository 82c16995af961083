"""`suite fit`: whether a step of RL fits on GPUs, what it holds there, and the smallest set that takes it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from suite.commands.choose import devices, parsed_options
from suite.console.table import ConsoleColumn, number_column, say_folded, say_table
from suite.records import numbers
from suite.records.plain_text import json_text, say
from suite.theory.answers.asked import sizes_from
from suite.theory.answers.fit import StepFit, fit_question_from, fits_of
from suite.theory.answers.step_memory import BF16, FLOAT32, MIXED, MOST_APART
from suite.theory.devices.gpus import SHARDS

DONE, DOES_NOT_FIT = 0, 3
MOST_PARTS = 6
PRECISIONS = {
    BF16: "bf16 (weights, gradients and AdamW's moments in bfloat16, 8 bytes a parameter)",
    MIXED: "mixed precision (weights, gradients and AdamW's moments in float32, 16 bytes a parameter)",
    FLOAT32: "float32 (weights, gradients and AdamW's moments, 16 bytes a parameter)",
}
NOTE = (
    f"In closed form, within {MOST_APART:.0%} of what workload=rl_memory projects with its default settings: AdamW, "
    "checkpointing, one completion a backward pass, all full lengths."
)


def fit(options: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the answer to a question, whose tokens and sizes may be texts. Returns 3 where the step does not fit.

    Raises ValueError, in one sentence, for a wrong question.
    """
    settings = parsed_options(options, ("seq_len", "prompt_len"))
    question = fit_question_from(settings | {"sizes": sizes_from(options["sizes"]) if options.get("sizes") else None})
    fits = fits_of(question)
    step = fits[0]
    if as_json:
        print(json_text({"question": settings, "answers": [asdict(answer) for answer in fits]}))
        return DONE if step.fits else DOES_NOT_FIT
    precision = PRECISIONS[question.precision] if question.lora_rank is None else f"{question.precision} with LoRA"
    alternative = replace(question, precision=MIXED if question.precision == BF16 else BF16)
    holds, spare = ("fits on", "to spare") if step.fits else ("does not fit on", "too much")
    say_folded(
        f"{step.label} of {question.name} in {precision} {holds} {devices(question.gpus)}: "
        f"{numbers.bytes_iec(step.peak_bytes)} on each in its {step.phase}, "
        f"{numbers.bytes_iec(abs(step.spare_bytes))} {spare}.",
        f"With --precision {alternative.precision} the smallest set is {_smallest_set(fits_of(alternative)[0])}.",
    )
    parts = sorted(step.parts.items(), key=lambda part: -part[1])[:MOST_PARTS]
    names = [name.replace("/", " ").replace("_", " ") for name, _ in parts]
    say("")
    say_table(
        [
            ConsoleColumn(title="held", cells=names, is_name=True),
            number_column("on each", [size for _, size in parts], numbers.bytes_iec),
        ]
    )
    say("")
    say_table(
        [
            ConsoleColumn(title="algorithm", cells=[answer.label for answer in fits], is_name=True),
            ConsoleColumn(title="fits", cells=["yes" if answer.fits else "no" for answer in fits]),
            number_column("on each", [answer.peak_bytes for answer in fits], numbers.bytes_iec),
            ConsoleColumn(title="in", cells=[answer.phase for answer in fits], rank=2),
            ConsoleColumn(title="smallest set", cells=[_smallest_set(answer) for answer in fits], rank=1),
        ]
    )
    say("")
    say_folded(NOTE)
    return DONE if step.fits else DOES_NOT_FIT


def _smallest_set(answer: StepFit) -> str:
    """`2 x 80 GB, or 4 x 40 GB`: at most two sets of GPUs that suffice; without one `no 64 GPUs or fewer`, by
    SHARDS."""
    if not answer.sets:
        return f"no {SHARDS[-1]} GPUs or fewer"
    return ", or ".join(f"{count} x {gigabytes} GB" for count, gigabytes in answer.sets[:2])
