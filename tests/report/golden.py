"""Freeze what the report says of the committed records, section by section, while the report is rebuilt.

`python -m tests.report.golden` compares with golden.json and names the sections that differ; `--keep` freezes anew;
a folder as an argument receives each section as JSON, to look at what differs.
"""

import hashlib
import json
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from suite.report.command import build_sections
from suite.report.findings import headlines
from suite.report.results import read_results
from suite.report.words import load_words

KEPT = Path(__file__).with_suffix(".json")
REFERENCE = Path(__file__).parents[2] / "results/reference"
NAMES = ("cpu", "cpu_rl_feedback", "cpu_rl_tuned")
LANGUAGES = ("en", "zh")


def sections() -> dict[str, str]:
    """Return each section's JSON by `<language>.<id>`."""
    results = read_results([REFERENCE / name for name in NAMES], labels=NAMES)
    found = {}
    for lang in LANGUAGES:
        words = load_words(lang)
        found[f"{lang}.headlines"] = _json(headlines(results, words))
        found |= {f"{lang}.{section.id}": _json(section) for section in build_sections(results, words)}
    return found


def digests(found: dict[str, str]) -> dict[str, str]:
    """Return a short digest of each section."""
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in found.items()}


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, indent=1, sort_keys=True)


def _plain(value: Any) -> Any:
    """Return the value as JSON holds it, numbers rounded to what any order of a sum agrees on."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.12g}")
    return value


if __name__ == "__main__":
    built = sections()
    now = digests(built)
    match sys.argv[1:]:
        case ["--keep"]:
            KEPT.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        case [folder]:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, text in built.items():
                (Path(folder) / f"{name}.json").write_text(text, encoding="utf-8")
    frozen = json.loads(KEPT.read_text(encoding="utf-8"))
    differing = sorted(name for name in frozen | now if frozen.get(name) != now.get(name))
    print("\n".join(differing) or f"{len(now)} sections as frozen")
    sys.exit(bool(differing))
