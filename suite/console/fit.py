"""A step of RL on given GPUs, in the words that a terminal shows."""

from collections.abc import Sequence

from suite.console.table import Column
from suite.records import numbers
from suite.theory.answers.fit import FitQuestion, StepFit
from suite.theory.answers.step_memory import BF16, FLOAT32, MIXED
from suite.theory.devices.gpus import SHARDS

MOST_PARTS = 6


def sentence(question: FitQuestion, fit: StepFit) -> str:
    """Say whether the asked algorithm fits, and the smallest set that holds it."""
    gpus = question.gpus
    where = (
        f"{gpus.count} x {gpus.memory_bytes / 1e9:g} GB"
        if gpus.device is None
        else f"{gpus.count} x {gpus.device.name}"
    )
    holds = "fits on" if fit.fits else "does not fit on"
    left = "to spare" if fit.fits else "too much"
    return (
        f"{fit.label} of {question.name} in {precision_name(question)} {holds} {where}: "
        f"{numbers.bytes_iec(fit.peak_bytes)} on each in its {fit.phase}, "
        f"{numbers.bytes_iec(abs(fit.spare_bytes))} {left}. Smallest: {smallest(fit)}."
    )


HELD = {
    BF16: "bf16 (weights, gradients and AdamW's moments in bfloat16, 8 bytes a parameter)",
    MIXED: "mixed precision (weights, gradients and AdamW's moments in float32, 16 bytes a parameter)",
    FLOAT32: "float32 (weights, gradients and AdamW's moments, 16 bytes a parameter)",
}


def precision_name(question: FitQuestion) -> str:
    """Return a precision with the bytes that it takes where all weights are trained."""
    return HELD[question.precision] if question.lora_rank is None else f"{question.precision} with LoRA"


def smallest(fit: StepFit) -> str:
    """Write `2 x 80 GB, or 4 x 40 GB`."""
    if not fit.sets:
        return f"no {SHARDS[-1]} GPUs or fewer"
    return ", or ".join(f"{count} x {gigabytes} GB" for count, gigabytes in fit.sets[:2])


def parts(fit: StepFit) -> list[Column]:
    """Return the largest parts of the peak as a table."""
    largest = sorted(fit.parts.items(), key=lambda part: -part[1])[:MOST_PARTS]
    return [
        Column(title="held", cells=[name.replace("/", " ").replace("_", " ") for name, _ in largest], is_name=True),
        Column(title="on each", cells=[numbers.bytes_iec(size) for _, size in largest], is_number=True),
    ]


def beside(fits: Sequence[StepFit]) -> list[Column]:
    """Return the algorithms beside one another as a table."""
    return [
        Column(title="algorithm", cells=[fit.label for fit in fits], is_name=True),
        Column(title="fits", cells=["yes" if fit.fits else "no" for fit in fits]),
        Column(title="on each", cells=[numbers.bytes_iec(fit.peak_bytes) for fit in fits], is_number=True),
        Column(title="in", cells=[fit.phase for fit in fits], rank=2),
        Column(title="smallest set", cells=[smallest(fit) for fit in fits], rank=1),
    ]
