"""Loading the task that settings name: several workloads have tasks, each of its own kind, in one folder of conf.

No torch, since plans load tasks.
"""

from collections.abc import Mapping
from typing import Any

from suite.configuration.files import locate


class NeedsPackageError(Exception):
    """A task that is right in itself needs a package that is not installed; the message names it."""


def load_task(settings: Mapping[str, Any], *, workload: str, example: str, method: str) -> Any:
    """The task that the settings under `task` name, constructed. `method`: one that only tasks of this workload have.

    Raises ValueError for no task, another workload's or wrong settings; NeedsPackageError.
    """
    rule = f"workload={workload} needs one of its own tasks, such as task={example}"
    if not isinstance(settings["task"], Mapping):
        raise ValueError(f"{rule}; got none")
    task = locate(settings["task"]["_target_"])
    if not hasattr(task, method):
        raise ValueError(f"{rule}; got {task.__name__}, a task of another workload")
    return task(settings["task"])
