"""Freeze what the report says of the committed records, section by section, while the report is rebuilt.

`python -m tests.report.golden` compares with golden.json and names the sections that differ; `--keep` freezes anew;
a folder as an argument receives each section as JSON, to look at what differs.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suite.report.command import say_sections
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts

KEPT = Path(__file__).with_suffix(".json")
REFERENCE = Path(__file__).parents[2] / "results/reference"
NAMES = ("cpu", "cpu_rl_feedback", "cpu_rl_tuned")
LANGUAGES = ("en", "zh")
DIGITS = 4
OF_TRACE = ("type", "name", "x", "y", "z", "text", "hovertext", "meta", "orientation", "fill")
OF_LAYOUT = ("type", "tickvals", "ticktext", "tickformat", "ticksuffix", "range", "meta", "barmode")
"""What a figure says. How it looks may become one for all."""


def sections() -> dict[str, str]:
    """Return each section's JSON by `<language>.<id>`."""
    results = read_results([REFERENCE / name for name in NAMES], labels=NAMES)
    return {
        f"{lang}.{section.id}": json.dumps(plain(asdict(section)), ensure_ascii=False, indent=1, sort_keys=True)
        for lang in LANGUAGES
        for section in say_sections(results, load_texts(lang))
    }


def digests(found: Mapping[str, str]) -> dict[str, str]:
    """Return a short digest of each section."""
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in found.items()}


def plain(value: Any) -> Any:
    """Return what a reader sees of it, numbers to four digits."""
    if isinstance(value, dict) and "figure" in value:
        return {"title": value["title"], "data": list(map(_trace, value["figure"]["data"])), **_layout(value["figure"])}
    if isinstance(value, dict):
        return {
            str(key): plain(item)
            for key, item in value.items()
            if key not in ("height_px", "wide") and item not in ("", [], (), {})
        }
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return value.replace("％", "%") if isinstance(value, str) else value


def _trace(trace: dict[str, Any]) -> dict[str, Any]:
    said = {name: trace[name] for name in OF_TRACE if name in trace}
    marker, line = trace.get("marker", {}), trace.get("line", {})
    drawn = {"colour": marker.get("color"), "symbol": marker.get("symbol"), "dash": line.get("dash")}
    bars = {name: (trace[name]["array"], trace[name]["arrayminus"]) for name in ("error_x", "error_y") if name in trace}
    return plain(said | {name: item for name, item in drawn.items() if item} | bars)


def _layout(figure: dict[str, Any]) -> dict[str, Any]:
    layout = figure["layout"]
    axes = {
        name: {"title": axis.get("title", {}).get("text", ""), **{one: axis[one] for one in OF_LAYOUT if one in axis}}
        for name, axis in layout.items()
        if name[1:5] == "axis"
    }
    texts = [one["text"] for one in layout.get("annotations", ())]
    rest = {name: layout[name] for name in OF_LAYOUT if name in layout}
    return plain({"axes": axes, "annotations": texts, "shapes": len(layout.get("shapes", ())), **rest})


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
