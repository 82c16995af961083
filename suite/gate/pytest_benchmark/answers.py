"""The answers of a project's pytest, believed as far as their shape: the code under test runs in that process."""

import math
from collections.abc import Mapping
from typing import Any

from suite.gate.side_by_side.answers import BadAnswerError

TIMES = ("setup_s", "first_s", "call_s")
PROBED = ("wall_s", "thread_cpu_s", "process_cpu_s", "children_s", "run_delay_s", "calls")
CODE = ("ran", "imported", "elsewhere", "once")
MOST_SHOWN = 60


def checked_collection(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer to `collect`: benchmarks, what failed, and whether others were read. Raises BadAnswerError."""
    if not _are_texts_by_name(answer.get("failed")):
        raise _bad("collect", "failed must be texts by name", answer.get("failed"))
    if not isinstance(answer.get("others"), bool):
        raise _bad("collect", "others must be true or false", answer.get("others"))
    benchmarks = answer.get("benchmarks")
    if not isinstance(benchmarks, list) or not all(map(_is_benchmark, benchmarks)):
        raise _bad("collect", "benchmarks must be a list of ids, files and parts", benchmarks)
    return answer


def checked_opening(answer: Mapping[str, Any], *, examined: bool) -> Mapping[str, Any]:
    """Return an answer to `open`: times and, where it was examined, probes and code. Raises BadAnswerError."""
    for name in TIMES:
        if not _is_time(answer.get(name)):
            raise _bad("open", f"{name} must be a finite number of seconds from 0 on", answer.get(name))
    if not isinstance(answer.get("is_set_up"), bool):
        raise _bad("open", "is_set_up must be true or false", answer.get("is_set_up"))
    if examined:
        probes, code = answer.get("probes"), answer.get("code")
        if not isinstance(probes, list) or not probes or not all(map(_is_probe, probes)):
            raise _bad("open", f"probes must hold {', '.join(PROBED)}", probes)
        if not isinstance(code, dict) or not all(_are_texts_by_name(code.get(name)) for name in CODE):
            raise _bad("open", f"code must hold {', '.join(CODE)}, texts by name", code)
        if not _are_texts_by_name(answer.get("beside")):
            raise _bad("open", "beside must be texts by name", answer.get("beside"))
    return answer


def _is_benchmark(benchmark: Any) -> bool:
    return (
        isinstance(benchmark, dict)
        and isinstance(benchmark.get("id"), str)
        and isinstance(benchmark.get("file"), str)
        and isinstance(benchmark.get("timer"), bool)
        and _are_texts_by_name(benchmark.get("parts"))
    )


def _is_probe(probe: Any) -> bool:
    return isinstance(probe, dict) and all(_is_time(probe.get(name)) for name in PROBED) and probe["wall_s"] > 0


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < 1e9 and math.isfinite(value)


def _are_texts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _bad(request: str, rule: str, value: Any) -> BadAnswerError:
    return BadAnswerError(f"the worker's answer to `{request}` cannot be: {rule}; got {repr(value)[:MOST_SHOWN]}")
