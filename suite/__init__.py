"""Attention variants (MHA, MQA, GQA, MLA) measured, compared and judged on your own hardware.

Importing this package loads neither torch nor Hydra nor pandas.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from suite.records.store import load as load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # `suite.load` needs pandas, which costs 0.4 s to import: it is fetched when first asked for.
    if name == "load":
        from suite.records.store import load

        return load
    raise AttributeError(f"module 'suite' has no attribute {name!r}")
