"""What a span really ran, as its record lists it: the backend that was asked for may have fallen to another path."""

from collections.abc import Sequence

MATH_PATH = "_scaled_dot_product_attention_math"
"""torch's path of separate operators, taken without a word where no fused kernel fits."""
KIND = "attention"
"""Stands in the name of every operator that is a whole attention."""


def attention_operator(operators: Sequence[str]) -> str | None:
    """The one that tells which path was taken: the math path, else the first whole attention."""
    if MATH_PATH in operators:
        return MATH_PATH
    return next((name for name in operators if KIND in name), None)
