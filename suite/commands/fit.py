"""`suite fit`: whether a step of RL fits on GPUs, what it holds there, and the smallest set that takes it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from suite.commands.choose import devices, parsed_options
from suite.console.table import ConsoleColumn, number_column, say_folded, say_table
from suite.machine.plain_text import json_text, say
from suite.records import numbers
from suite.theory.answers.asked import sizes_from
from suite.theory.answers.fit import StepFit, fit_question_from, fits_of
from suite.theory.answers.step_memory import BF16, FLOAT32, MIXED, MOST_APART
from suite.theory.devices.gpus import SHARDS

DONE, DOES_NOT_FIT = 0, 3
MOST_PARTS = 6
PRECISIONS = {
    BF16: "bf16 (weights, gradients and AdamW's state in bfloat16: 8 bytes per parameter)",
    MIXED: "mixed precision (weights, gradients and AdamW's state in float32: 16 bytes per parameter)",
    FLOAT32: "float32 (weights, gradients and AdamW's state: 16 bytes per parameter)",
}
NOTE = (
    f"Computed from closed forms, which stay within {MOST_APART:.0%} of workload=rl_memory with its default settings. "
    "Assumptions: AdamW, activations recomputed per block, one completion per backward pass, all of full length."
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
    spare = numbers.bytes_iec(abs(step.spare_bytes))
    fits_or_not, rest = ("fits on", f" and leaves {spare}") if step.fits else ("does not fit on", f", {spare} too much")
    say_folded(
        f"{step.label} of {question.name} in {precision} {fits_or_not} {devices(question.gpus)}: "
        f"its {step.phase} needs {numbers.bytes_iec(step.peak_bytes)} on each{rest}.",
        f"With --precision {alternative.precision} the smallest set is {_smallest_set(fits_of(alternative)[0])}.",
    )
    parts = sorted(step.parts.items(), key=lambda part: -part[1])[:MOST_PARTS]
    parts += [("everything else", step.peak_bytes - sum(size for _, size in parts)), ("total", step.peak_bytes)]
    names = [name.replace("/", " ").replace("_", " ") for name, _ in parts]
    say("")
    say_table(
        [
            ConsoleColumn(title="use", cells=names, is_name=True),
            number_column("needed on each", [size for _, size in parts], numbers.bytes_iec),
        ]
    )
    say("")
    say_table(
        [
            ConsoleColumn(title="algorithm", cells=[answer.label for answer in fits], is_name=True),
            ConsoleColumn(title="fits", cells=["yes" if answer.fits else "no" for answer in fits]),
            number_column("needed on each", [answer.peak_bytes for answer in fits], numbers.bytes_iec),
            ConsoleColumn(title="peak in", cells=[answer.phase for answer in fits], rank=2),
            ConsoleColumn(title="smallest sets of GPUs", cells=[_smallest_set(answer) for answer in fits], rank=1),
        ]
    )
    say("")
    say_folded(NOTE)
    return DONE if step.fits else DOES_NOT_FIT


def _smallest_set(answer: StepFit) -> str:
    """`2 x 80 GB, or 4 x 40 GB`: at most two sets of GPUs that suffice; without one `none with up to 8 GPUs`."""
    if not answer.sets:
        return f"none with up to {SHARDS[-1]} GPUs"
    return ", or ".join(f"{count} x {gigabytes} GB" for count, gigabytes in answer.sets[:2])
