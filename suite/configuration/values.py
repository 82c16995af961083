"""Read one value from settings, or refuse it in one sentence: what, the rule, the value it got and the choices."""

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

CLOSE, MOST_MEANT = 0.66, 4
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120


def clipped(value: Any) -> str:
    """The value as a sentence shows it, cut after about 120 letters."""
    return _SHORT.repr(value)


def whole_number(
    settings: Mapping[str, Any], name: str, *, at_least: int, at_most: int | None = None, where: str = ""
) -> int:
    """A whole number from the settings. Raises ValueError, in one sentence, for anything else, True and False too."""
    value = given(settings, name, where)
    is_whole = isinstance(value, int) and not isinstance(value, bool)  # True is an int
    if not is_whole or value < at_least or (at_most is not None and value > at_most):
        allowed = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise ValueError(f"{where}{name} must be a whole number {allowed}; got {clipped(value)}")
    return int(value)


def optional_whole_number(settings: Mapping[str, Any], name: str, *, at_least: int = 1) -> int | None:
    """As `whole_number`, or None for a setting that is null."""
    return None if given(settings, name) is None else whole_number(settings, name, at_least=at_least)


def positive_number(settings: Mapping[str, Any], name: str, *, where: str = "") -> float:
    """The setting as a float. Raises ValueError for what is no number above 0."""
    return _number(settings, name, where, lambda value: value > 0, "above 0")


def not_negative(settings: Mapping[str, Any], name: str, *, where: str = "") -> float:
    """The setting as a float. Raises ValueError for what is no number of at least 0."""
    return _number(settings, name, where, lambda value: value >= 0, "of at least 0")


def number_between(settings: Mapping[str, Any], name: str, low: float, high: float, *, where: str = "") -> float:
    """The setting as a float. Raises ValueError for what is no number from `low` to `high`, both included."""
    return _number(settings, name, where, lambda value: low <= value <= high, f"from {low:g} to {high:g}")


def _number(
    settings: Mapping[str, Any], name: str, where: str, is_allowed: Callable[[float], bool], allowed: str
) -> float:
    """The setting as a float.

    Raises ValueError for what is no number, as True and None, or is not allowed; `allowed` words the rule for it.
    Infinity passes wherever `is_allowed` lets it.
    """
    value = given(settings, name, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_allowed(value):
        raise ValueError(f"{where}{name} must be a number {allowed}; got {clipped(value)}")
    return float(value)


def given_text(settings: Mapping[str, Any], name: str, *, where: str = "") -> str:
    """The setting as it is written, blanks at its ends too. Raises ValueError for a blank one."""
    value = given(settings, name, where)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}{name} must be a text; got {clipped(value)}")
    return value


def true_or_false(settings: Mapping[str, Any], name: str) -> bool:
    """The setting as it is. Raises ValueError unless it is true or false."""
    value = settings.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {clipped(value)}")
    return value


def did_you_mean(name: str, options: Iterable[str], before: str = "") -> str:
    """Write `; did you mean seq_len?`, or nothing where no option is near the name. `before`: stands before options."""
    options = sorted(set(options) - {name})
    close = [option for option in options if option.startswith(name)][:MOST_MEANT] if len(name) > 1 else []
    close = close or difflib.get_close_matches(name, options, n=2, cutoff=CLOSE)
    return f"; did you mean {' or '.join(before + option for option in close)}?" if close else ""


def one_of(settings: Mapping[str, Any], name: str, allowed: Iterable[Any], *, where: str = "") -> Any:
    """The setting's value. Raises ValueError, naming the choices, for one that is not allowed or missing."""
    value, allowed = given(settings, name, where), tuple(allowed)
    if value not in allowed:
        choices = ", ".join("null" if choice is None else str(choice) for choice in allowed)  # null as one types it
        suggestion = did_you_mean(value, filter(None, map(str, allowed))) if isinstance(value, str) else ""
        raise ValueError(f"{where}{name} must be one of {choices}; got {clipped(value)}{suggestion}")
    return value


def given(settings: Mapping[str, Any], name: str, where: str = "") -> Any:
    """A setting's value. Raises ValueError where the command line took the setting away."""
    if name not in settings:
        raise ValueError(f"{where}{name} must have a value; got none")
    return settings[name]
