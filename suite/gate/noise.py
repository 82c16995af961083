"""The noise of each benchmark on one kind of machine, in a file that people can read and review."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from suite.records.privacy import scrubbed
from suite.records.record import CorruptRecordError
from suite.records.store import read_file, write_named

SCHEMA = 1
NOISE = Path("results/baseline/noise")
MOST_BYTES = 4 << 20
KEYS = ("case", "span", "metric")
ABOUT = """\
# The gate's own noise: the relative difference that identical code showed on this kind of machine.
# Written by `suite gate selftest --save`; the gate's floor of a benchmark is never below its noise.
"""
Quantity = tuple[str, str, str]
"""Case, span and metric."""


class CorruptNoiseError(ValueError):
    """A file of learnt noise that cannot be read; the message says what is wrong with it."""


def machine_kind(environment: Mapping[str, Any], threads: int) -> str:
    """What a noise file is called: the GPU where there is one, else the CPU with its threads, as a plain name."""
    gpus = environment.get("gpus")
    if isinstance(gpus, list | tuple) and gpus:
        return _slug(" ".join(sorted({str(gpu) for gpu in gpus})))
    return f"{_slug(str(environment.get('cpu') or 'unknown'))}-{threads}-thread{'' if threads == 1 else 's'}"


def noise_path(kind: str, folder: Path = NOISE) -> Path:
    return folder / f"{kind}.yaml"


def save_noise(
    path: Path, noise: Mapping[Quantity, float], *, machine: Mapping[str, Any], made: Mapping[str, Any]
) -> None:
    """Write learnt noise, as shares. `machine`: what kind it is; `made`: when and how it was learnt.

    Raises ValueError for a noise that is no share from 0 to below 1: such a benchmark cannot be gated at all.
    """
    for quantity, value in noise.items():
        if not _is_share(value):
            raise ValueError(f"noise of {' '.join(quantity)} must be a share from 0 to below 1; got {value!r}")
    rows = [{**dict(zip(KEYS, quantity, strict=True)), "noise": float(value)} for quantity, value in noise.items()]
    content = {"schema": SCHEMA, "machine": scrubbed(dict(machine)), "made": scrubbed(dict(made)), "noise": rows}
    text = ABOUT + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_named(path, text.encode())


def read_noise(path: Path) -> dict[Quantity, float]:
    """Noise by case, span and metric; none where nothing was learnt yet. Raises CorruptNoiseError."""
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(read_file(path, MOST_BYTES, may_be_link=True))
        if content["schema"] != SCHEMA or content["schema"] is True:  # which equals 1
            raise ValueError(f"schema must be {SCHEMA}; got {content['schema']!r}")
        found: dict[Quantity, float] = {}
        for row in content["noise"]:
            case, span, metric = (row[key] for key in KEYS)
            if not all(isinstance(part, str) for part in (case, span, metric)) or (case, span, metric) in found:
                raise ValueError(f"case, span and metric must be texts, and stand once; got {row!r}")
            if not _is_share(row["noise"]):
                raise ValueError(f"noise must be a share from 0 to below 1; got {row['noise']!r}")
            found[case, span, metric] = float(row["noise"])
    except (CorruptRecordError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError) as error:
        raise CorruptNoiseError(f"{path.name} is no file of noise ({' '.join(str(error).split())})") from error
    return found


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unknown"
