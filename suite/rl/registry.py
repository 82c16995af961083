"""Advantage estimators, policy losses and stages by name: a file of this package, or a dotted name of another's.

No torch here, so that the parent can check a name before a worker starts: loading one brings torch.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.configuration.files import locate


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A folder of this package whose files each have one function of the same name."""

    folder: str
    function: str
    setting: str  # the setting's name in a refusal

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the folder's files, sorted: the choices."""
        files = {path.stem for path in (Path(__file__).parent / self.folder).glob("*.py")} - {"__init__"}
        return tuple(sorted(files))

    def module(self, name: str) -> str:
        """Dotted path of the module of this name; it need not exist."""
        return f"suite.rl.{self.folder}.{name}"

    def check(self, name: Any) -> None:
        """Raise ValueError for a name that `load` would not find, without loading it. Of a dotted name only the package
        is looked for."""
        package, dot, _ = name.partition(".") if isinstance(name, str) else ("", "", "")
        exists = bool(package) and importlib.util.find_spec(package) is not None if dot else name in self.names
        if not exists:
            raise ValueError(
                f"{self.setting} must be one of {', '.join(self.names)}, or the dotted name of a function in an "
                f"installed package; got {name!r}"
            )

    def load(self, name: str) -> Any:
        """The function in the file of this name, or behind a dotted name. Raises ValueError, naming the choices."""
        self.check(name)
        return locate(name if "." in name else f"{self.module(name)}.{self.function}")


ESTIMATORS = Registry(folder="estimators", function="advantages", setting="adv_estimator")
"""Each is a suite.rl.advantages.Estimator."""
POLICY_LOSSES = Registry(folder="policy_losses", function="token_losses", setting="policy_loss")
"""Each is a suite.rl.losses.PolicyLoss."""
STAGES = Registry(folder="stages", function="begin", setting="the kind of a stage")
"""Each is a suite.rl.stage.BeginStage."""
