"""The answers of a worker, believed as far as the judge can check them from outside.

A worker runs the code under test in its own process, so an answer may say anything: NaN seconds, a list in a number's
place, times that are longer than the request took. One that cannot be is refused in a sentence, and its case is broken.
"""

import math
from collections.abc import Mapping
from typing import Any

from suite.gate.side_by_side.worker_client import Spent, WorkerError

CLOCKS = ("wall_s", "thread_cpu_s", "process_cpu_s")
JUDGING = ("wall", "thread_cpu", "process_cpu", "device")
MOST_SHOWN, MOST_SPANS = 60, 100
ROOM, ROOM_S = 1.001, 1e-3
"""Room for the difference of two clocks that are read one after the other."""
UNEXPLAINED, UNEXPLAINED_S, UNEXPLAINED_CALL_S = 2.5, 1e-3, 20e-6
"""CPU time that may come to a sample's calls: a first call in cold caches, the request itself, clocks of each call."""


class BadAnswerError(WorkerError):
    """An answer that cannot be true; the message says what it holds, and the rule."""


def checked_sample(answer: Mapping[str, Any], spent: Spent, clock: str) -> dict[str, Any]:
    """Return the fields of a sample that a worker tells. Raises BadAnswerError.

    `spent`: the time that the request took by the judge's own clocks. `clock`: the one that judges.
    """
    sample: dict[str, Any] = {name: _seconds(answer, name, is_judging=name == f"{clock}_s") for name in CLOCKS}
    sample["device_s"] = None if answer.get("device_s") is None else _seconds(answer, "device_s", is_judging=True)
    if sample[f"{clock}_s"] is None:
        raise BadAnswerError("the worker's sample has no device_s, the clock that judges")
    sample["involuntary_switches"] = _count(answer, "involuntary_switches", 0)
    calls = sample["calls"] = _count(answer, "calls", 1)
    limits_s = {"wall_s": spent.wall_s, "device_s": spent.wall_s}
    if spent.cpu_s is not None:
        limits_s |= {"thread_cpu_s": spent.cpu_s, "process_cpu_s": spent.cpu_s}
    least_calls = (calls + 1) // 2  # as many calls took the median or longer
    for name, limit_s in limits_s.items():
        if sample[name] is not None and sample[name] * least_calls > ROOM * limit_s + ROOM_S:
            raise BadAnswerError(
                f"the worker tells {name} of {sample[name]:.3g} for the median of {calls} calls, but all of them took "
                f"{limit_s:.3g} s by the judge's own clock"
            )
    return sample


def unexplained(sample: Mapping[str, Any], spent: Spent) -> float:
    """Return how many times as much CPU time the kernel counted as a sample's calls can have taken; 0 where unknown.

    The dropped first call counts among them. A sample that is believable stays below 1.
    """
    if spent.cpu_s is None:
        return 0.0
    calls = sample["calls"] + 1
    told_s: float = max(sample["thread_cpu_s"], sample["process_cpu_s"]) * calls
    share: float = spent.cpu_s / (UNEXPLAINED * told_s + UNEXPLAINED_S + UNEXPLAINED_CALL_S * calls)
    return share


def checked_build(answer: Mapping[str, Any], *, examined: bool) -> Mapping[str, Any]:
    """Return an answer to `build`. Raises BadAnswerError.

    `examined`: it tells the exact quantities and the code, too.
    """
    spans: Any = answer.get("spans")
    clock: Any = answer.get("clock")
    if not _are_texts(spans) or len(set(spans)) < len(spans) or len(spans) > MOST_SPANS:
        raise _bad("build", f"spans must be a list of names, each once and at most {MOST_SPANS}", spans)
    if clock not in (*JUDGING, *([] if spans else [None])):
        raise _bad("build", f"clock must be one of {', '.join(JUDGING)}", clock)
    if examined:
        readings: Any = answer.get("readings")
        coverage: Any = answer.get("coverage")
        if not _are_named(readings) or not all(
            _are_named(values) and all(map(_is_number, values.values())) for values in readings.values()
        ):
            raise _bad("build", "readings must be numbers by span and metric", readings)
        for name, operators in (("operators", answer.get("operators")), ("parts", answer.get("parts"))):
            checked_operators("build", name, operators)
        if not _are_named(coverage) or not all(
            _is_number(share) and 0 <= share < math.inf for share in coverage.values()
        ):
            raise _bad("build", "coverage must be shares by span", coverage)
        _check_code("build", answer.get("code"))
    return answer


def checked_cases(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the cases of an answer to `expand`. Raises BadAnswerError."""
    cases = answer.get("cases")
    if not isinstance(cases, list):
        raise _bad("expand", "cases must be a list", cases)
    for case in cases:
        if not isinstance(case, dict) or not isinstance(case.get("workload"), str):
            raise _bad("expand", "a case must have a workload, a name", case)
        for part in ("axes", "extras", "settings"):
            if not _are_named(case.get(part)):
                raise _bad("expand", f"a case's {part} must be values by name", case.get(part))
        _check_code("expand", case.get("code"))
    return cases


def checked_operators(request: str, name: str, operators: Any) -> Mapping[str, list[str]]:
    """Return operators by span. Raises BadAnswerError for what cannot be such."""
    if not _are_named(operators) or not all(map(_are_texts, operators.values())):
        raise _bad(request, f"{name} must be lists of names by span", operators)
    return operators  # type: ignore[no-any-return]


def checked_ceilings(hello: Mapping[str, Any]) -> dict[str, float]:
    """Return the rates that a worker measured as it began, by name; none of what is no rate."""
    rates: dict[str, Any] = {name: hello.get(name) for name in ("float32_flops_per_s", "flops_per_s", "bytes_per_s")}
    return {name: float(rate) for name, rate in rates.items() if _is_number(rate) and 0 < rate < math.inf}


def _check_code(request: str, code: Any) -> None:
    if not _are_named(code) or not all(file is None or isinstance(file, str) for file in code.values()):
        raise _bad(request, "code must be files by module, or null", code)


def _seconds(answer: Mapping[str, Any], name: str, *, is_judging: bool) -> float:
    value: Any = answer.get(name)
    if not _is_number(value) or not math.isfinite(value) or value < 0 or (is_judging and value == 0):
        rule = "a finite number of seconds " + ("above 0" if is_judging else "from 0 on")
        raise _bad("sample", f"{name} must be {rule}", value)
    return float(value)


def _count(answer: Mapping[str, Any], name: str, least: int) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 53:
        raise _bad("sample", f"{name} must be a whole number from {least} on", value)
    return value


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a double can hold; NaN and infinity are such, and are judged broken."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value) is not None
    except OverflowError:
        return False


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _are_named(value: Any) -> bool:
    return isinstance(value, dict)  # JSON has no other names than texts


def _bad(request: str, rule: str, value: Any) -> BadAnswerError:
    shown = repr(value)
    shown = shown if len(shown) <= MOST_SHOWN else shown[:MOST_SHOWN] + "…"
    return BadAnswerError(f"the worker's answer to `{request}` cannot be: {rule}; got {shown}")
