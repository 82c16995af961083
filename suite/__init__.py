"""Attention variants and RL algorithms measured, compared and judged on your own hardware.

`suite.load(folder)` gives the records as `Runs`, whose frames are pandas'; `suite.plot` draws them. Importing this
package loads neither torch nor Hydra nor pandas.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from suite.api import plot as plot
    from suite.api.runs import Runs as Runs
    from suite.api.runs import load as load

_INSTALLED = Path(__file__).with_name("reference")
REFERENCE = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "results" / "reference"
"""The folder of the records that come with the suite: all of them in a checkout, cpu/evolution in a wheel."""
LAZY = {"load": "suite.api.runs", "Runs": "suite.api.runs", "plot": "suite.api.plot"}
"""Fetched when first asked for: pyarrow alone takes a third of a second."""
__all__ = ["REFERENCE", "Runs", "__version__", "load", "plot"]


def __getattr__(name: str) -> Any:
    """Import `load`, `Runs` or `plot` when first asked for. Raises AttributeError for any other name."""
    if name not in LAZY:
        raise AttributeError(f"module 'suite' has no attribute {name!r}")
    module = importlib.import_module(LAZY[name])
    return module if name == "plot" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
