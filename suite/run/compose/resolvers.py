"""Functions that a configuration may call, as in `num_generations: ${divided:256,${prompts_per_step}}`.

One of them asks what `device=auto` stands for: the first NVIDIA GPU that torch can use, else the CPU.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from suite.configuration.devices import AUTO, CPU, CUDA, kind_of, why_no_cuda
from suite.configuration.files import choices, no_choice, read_choice
from suite.machine.environment import gpu_names, gpus
from suite.machine.limits import most_threads
from suite.rl.recipe import stage_modules
from suite.rl.tuning import best_trial_value, trial_choice, trial_value
from suite.theory.devices.gpus import gpu_count
from suite.theory.devices.hardware import hardware_from
from suite.theory.layers.batch_spec import of_seqs

TYPED = f"device={AUTO}"


@functools.cache
def auto_device() -> tuple[str, str]:
    """The device and the reason. Torch, which takes seconds to answer, is asked where NVML shows a GPU."""
    why_not = why_no_cuda() if gpus().readable else gpus().why
    return (CUDA, ", ".join(gpu_names())) if why_not is None else (CPU, why_not)


def chosen_device(name: Any) -> Any:
    """The device that is meant by `auto`; any other value as it is."""
    return auto_device()[0] if name == AUTO else name


DEFAULT_DTYPES = {"cuda": "bfloat16"}
"""The default dtype by device; elsewhere float32."""
DEVICE_DTYPES = ("bfloat16", "float16", "float32")
"""A projection is of the first of these that the device has a published peak of."""


def _default_dtype(hardware: Mapping[str, Any] | None) -> str:
    peaks = DEVICE_DTYPES if hardware is None else hardware_from(hardware).dense_flops_per_s
    return next((dtype for dtype in DEVICE_DTYPES if dtype in peaks), DEVICE_DTYPES[0])


def _divided(whole: int, by: int) -> int:
    """`whole / by` as a whole number. Raises ValueError where there is a remainder."""
    if not isinstance(whole, int) or not isinstance(by, int) or by < 1 or whole % by:
        raise ValueError(f"{whole!r} must be a multiple of {by!r} to be divided by it")
    return whole // by


def _picked(name: str, values: Mapping[str, Any]) -> Any:
    """The value that a mapping has for an option. Raises ValueError where it has none."""
    if name not in values:
        raise ValueError(f"a value must be given for each of the options; there is none for {name!r}")
    return values[name]


def _critic_sizes(group: str, name: str | None) -> dict[str, Any] | None:
    """A group's option as the sizes of a critic of its own; None for None. Raises ValueError for an unknown name."""
    if name is None:
        return None
    if name not in choices(group):
        raise ValueError(no_choice("critic_model", str(name), choices(group)))
    return read_choice(group, name)


RESOLVERS: Mapping[str, Callable[..., Any]] = {
    "of_seqs": of_seqs,
    "default_dtype": lambda device: DEFAULT_DTYPES.get(kind_of(chosen_device(device)), "float32"),
    "dtype_of": _default_dtype,
    "critic_sizes": _critic_sizes,
    "divided": _divided,
    "at_most_cpus": lambda count: min(count, most_threads()),
    "gpu_count": gpu_count,
    "picked": _picked,
    "of_trial": trial_value,
    "choice_of_trial": trial_choice,
    "best_of": best_trial_value,
    "stage_modules": stage_modules,
}
