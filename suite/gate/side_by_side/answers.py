"""The answers of a worker, believed as far as the judge can check them from outside.

A worker runs the code under test in its own process, so an answer may say anything: NaN seconds, a list in a number's
place, times that are longer than the request took. One that cannot be is refused in a sentence, and its case is broken.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from suite.gate.side_by_side.worker_client import Spent, WorkerError
from suite.gate.workers.worker_loop import CLOCKS

JUDGING_CLOCKS = ("wall", "thread_cpu", "process_cpu", "device")
MOST_SHOWN, MOST_SPANS = 60, 100
ROOM, ROOM_S = 1.001, 1e-3
"""Room for the difference of two clocks that are read one after the other."""
UNEXPLAINED, UNEXPLAINED_S, UNEXPLAINED_CALL_S = 2.5, 1e-3, 20e-6
"""CPU time that may come to a sample's calls: a first call in cold caches, the request itself, clocks of each call."""
PROBED = ("wall_s", "thread_cpu_s", "process_cpu_s", "children_s", "run_delay_s", "calls")
CODE = ("ran", "imported", "elsewhere", "once")
Predicate = Callable[[Any], bool]
Rule = tuple[str, Predicate]
"""What a field must be, in words, and the function that tests a value."""


class BadAnswerError(WorkerError):
    """An answer that cannot be true; the message says what it holds, and the rule."""


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a double can hold. NaN and infinity pass: they are judged broken later."""
    try:
        # JSON's true is an int to Python, and a whole number of 400 digits is one that no double holds.
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value) is not None
    except OverflowError:
        return False


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 <= value < math.inf


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list_of(is_so: Predicate) -> Predicate:
    return lambda value: isinstance(value, list) and all(map(is_so, value))


def _is_dict_of(is_so: Predicate) -> Predicate:
    return lambda value: isinstance(value, dict) and all(map(is_so, value.values()))


def _has_fields(fields: Mapping[str, Predicate]) -> Predicate:
    return lambda value: isinstance(value, dict) and all(is_so(value.get(name)) for name, is_so in fields.items())


def _count_from(least: int) -> Rule:
    """The rule for a whole number from `least` to what a double holds exactly."""

    def is_count(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1 << 53

    return f"a whole number from {least} on", is_count


SECONDS: Rule = ("a finite number of seconds from 0 on", _is_seconds)
JUDGED_SECONDS: Rule = ("a finite number of seconds above 0", lambda value: _is_seconds(value) and value > 0)
TRUTH: Rule = ("true or false", _is_bool)
TEXTS: Rule = ("texts by name", _is_dict_of(_is_text))
FILES: Rule = ("files by module, or null", _is_dict_of(lambda file: file is None or isinstance(file, str)))
OPERATORS: Rule = ("lists of names by span", _is_dict_of(_is_list_of(_is_text)))
SPANS: Rule = (
    f"a list of names, each once and at most {MOST_SPANS}",
    lambda value: _is_list_of(_is_text)(value) and len(set(value)) == len(value) <= MOST_SPANS,
)
EXAMINED: dict[str, Rule] = {
    "readings": ("numbers by span and metric", _is_dict_of(_is_dict_of(_is_number))),
    "operators": OPERATORS,
    "parts": OPERATORS,
    "coverage": ("shares by span", _is_dict_of(_is_seconds)),
    "code": FILES,
}
"""Fields of a case that was examined when it was built."""
CASE: dict[str, Rule] = {
    "workload": ("a name", _is_text),
    **dict.fromkeys(("axes", "extras", "settings"), ("values by name", lambda value: isinstance(value, dict))),
    "code": FILES,
}
_is_benchmark = _has_fields({"id": _is_text, "file": _is_text, "timer": _is_bool, "parts": _is_dict_of(_is_text)})
_is_probe = _has_fields(dict.fromkeys(PROBED, _is_seconds) | {"wall_s": JUDGED_SECONDS[1]})


def _check(request: str, answer: Mapping[str, Any], rules: Mapping[str, Rule]) -> Mapping[str, Any]:
    """The answer itself, if every field follows its rule. Raises BadAnswerError with the first that does not."""
    for name, (rule, is_so) in rules.items():
        value = answer.get(name)
        if not is_so(value):
            text = repr(value)
            text = text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
            raise BadAnswerError(f"the worker's answer to `{request}` is invalid: {name} must be {rule}; got {text}")
    return answer


def checked_sample(answer: Mapping[str, Any], spent: Spent, clock: str) -> dict[str, Any]:
    """A worker's answer to `sample` as fields of a Sample. Raises BadAnswerError for a wrong type, and for times longer
    than the request took by the judge's own clocks, `spent`. `clock`: the one that judges, which must be above 0."""
    rules = {name: JUDGED_SECONDS if name == f"{clock}_s" else SECONDS for name in CLOCKS}
    if answer.get("device_s") is not None:
        rules["device_s"] = JUDGED_SECONDS
    elif clock == "device":
        raise BadAnswerError("the worker's sample has no device_s, which is the judging clock")
    _check("sample", answer, {**rules, "involuntary_switches": _count_from(0), "calls": _count_from(1)})
    sample: dict[str, Any] = {"device_s": None, **{name: float(answer[name]) for name in rules}}
    sample["involuntary_switches"] = answer["involuntary_switches"]
    calls = sample["calls"] = answer["calls"]
    limits_s = {"wall_s": spent.wall_s, "device_s": spent.wall_s}
    if spent.cpu_s is not None:
        limits_s |= {"thread_cpu_s": spent.cpu_s, "process_cpu_s": spent.cpu_s}
    least_calls = (calls + 1) // 2  # half of the calls, rounded up, took the median or longer
    for name, limit_s in limits_s.items():
        if sample[name] is not None and sample[name] * least_calls > ROOM * limit_s + ROOM_S:
            raise BadAnswerError(
                f"the worker reports {name} of {sample[name]:.3g} for the median of {calls} calls, but all of them "
                f"took {limit_s:.3g} s by the judge's own clock"
            )
    return sample


def unexplained_share(sample: Mapping[str, Any], spent: Spent) -> float:
    """CPU time of a request by the kernel's count, divided by the most that the reported calls can explain. A
    believable sample stays below 1. The dropped first call is among the calls. 0 where the kernel does not count."""
    if spent.cpu_s is None:  # elsewhere than on Linux, where nothing shows from outside
        return 0.0
    calls = sample["calls"] + 1
    calls_s: float = max(sample["thread_cpu_s"], sample["process_cpu_s"]) * calls
    share: float = spent.cpu_s / (UNEXPLAINED * calls_s + UNEXPLAINED_S + UNEXPLAINED_CALL_S * calls)
    return share


def checked_build(answer: Mapping[str, Any], *, examined: bool) -> Mapping[str, Any]:
    """The answer to `build`, if valid; else raises BadAnswerError. `examined`: it needs exact quantities too."""
    clocks = (*JUDGING_CLOCKS, *([] if answer.get("spans") else [None]))  # without a span no clock judges
    clock: Rule = (f"one of {', '.join(JUDGING_CLOCKS)}", lambda value: value in clocks)
    return _check("build", answer, {"spans": SPANS, "clock": clock, **(EXAMINED if examined else {})})


def checked_cases(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The `cases` of an answer to `expand`, each with valid fields; else raises BadAnswerError."""
    _check("expand", answer, {"cases": ("a list of cases", _is_list_of(lambda case: isinstance(case, dict)))})
    return [_check("expand", case, CASE) for case in answer["cases"]]


def checked_operators(answer: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """The operators of each span in an answer to `recheck`, if it is valid; else raises BadAnswerError."""
    operators: Mapping[str, list[str]] = _check("recheck", answer, {"parts": OPERATORS})["parts"]
    return operators


def checked_ceilings(hello: Mapping[str, Any]) -> dict[str, float]:
    """The rates that a worker measured as it began, FLOPs and bytes per second by name; invalid ones are left out."""
    rates: dict[str, Any] = {name: hello.get(name) for name in ("float32_flops_per_s", "flops_per_s", "bytes_per_s")}
    return {name: float(rate) for name, rate in rates.items() if _is_seconds(rate) and rate > 0}


def checked_collection(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pytest worker's answer to `collect`, if valid: benchmarks, failures, other files. Raises BadAnswerError."""
    benchmarks = ("a list of ids, files and parts", _is_list_of(_is_benchmark))
    return _check("collect", answer, {"failed": TEXTS, "others": TRUTH, "benchmarks": benchmarks})


def checked_opening(answer: Mapping[str, Any], *, examined: bool) -> Mapping[str, Any]:
    """A pytest worker's answer to `open`, if valid: times and, if `examined`, probes. Raises BadAnswerError."""
    rules: dict[str, Rule] = {**dict.fromkeys(("setup_s", "first_s", "call_s"), SECONDS), "is_set_up": TRUTH}
    if examined:
        is_code = _has_fields(dict.fromkeys(CODE, _is_dict_of(_is_text)))
        rules |= {
            "probes": (
                f"a list with {', '.join(PROBED)}",
                lambda value: bool(value) and _is_list_of(_is_probe)(value),
            ),
            "code": (f"texts by name under {', '.join(CODE)}", is_code),
            "beside": TEXTS,
        }
    return _check("open", answer, rules)
