"""The reference of settings in conf/README.md, made from the YAML files and their comments."""

import re
from pathlib import Path

import yaml

CONF = Path(__file__).resolve().parents[3] / "conf"
SETTING = re.compile(r"^( *)([\w.]+):(?: ([^#]*?))?(?: # ?(.*))?$")
GROUPS = {
    "workload": "what is run",
    "attention": "the attention variant",
    "geometry": "the sizes of a published model",
    "backend": "how attention is computed",
    "measure": "how long a case is timed",
    "telemetry": "what is watched beside a run",
    "launcher": "where cases run, also written `engine=`",
    "hardware": "the device that `workload=projection` is about, by its specification",
    "algorithm": "the RL algorithm, settings under the field's option names",
    "recipe": "the stages in which a policy is trained",
    "policy": "the policy that RL trains",
    "task": "the task of RL or of quality",
    "sweep": "named sweeps, for `suite run -m sweep=NAME`",
}
LISTED = ("attention", "measure", "telemetry", "launcher", "algorithm", "task")
"""Groups whose options' own settings are named; the others hold sizes and stages, which their files show."""
NO_SETTING = (
    "_target_",
    "shape",
    "shown",
    "name",
    "cache_size",
    "fixed",
    "in_phase",
    "defaults",
    "hydra",
    "workload",
    "mode",
)


def groups():
    """The settings of every run, then a list of options for each group."""
    parts = ["", "## Settings of every run", "", *_settings(CONF / "run.yaml"), ""]
    for group, meaning in GROUPS.items():
        parts += [f"## `{group}=`: {meaning}", "", *map(_option, sorted((CONF / group).glob("*.yaml"))), ""]
    return "\n".join(parts)


def workload_settings():
    """A table for each file of settings that one workload has."""
    parts = [""]
    for path in sorted((CONF / "settings").glob("*.yaml")):
        parts += [f"### {path.stem}", "", *_settings(path), ""]
    return "\n".join(parts)


def _option(path):
    """An option's line: its first comment, or its sizes where it is a model or a device, and its settings."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    group = path.parent.name
    if group == "geometry" and "source" in content:
        kv_heads = content.get("num_kv_heads")
        heads = f"{content['num_heads']} heads" + (f", {kv_heads} of keys and values" if kv_heads else "")
        return f"- `{path.stem}`: {content['attention'].upper()}, {content['num_layers']} layers, {heads}"
    if group == "hardware":
        peak = content["dense_tflops"].get("bf16") or content["dense_tflops"].get("fp16")
        return f"- `{path.stem}`: {content['memory_gb']} GB, {content['mem_bw_gbs']:,} GB/s, {peak:,} TFLOP/s in 16 bit"
    said = " ".join(_first_comment(path)).replace("<", "&lt;") or "see the file"
    prefix = "" if "# @package _global_" in path.read_text(encoding="utf-8") else f"{group}."
    inner = [
        f"`{prefix}{name}={default}`" + (f" ({meaning})" if meaning else "")
        for name, default, meaning in _rows(path) if name and group in LISTED
    ]  # fmt: skip
    return f"- `{path.stem}`: {said}" + (f" Settings: {'; '.join(inner)}." if inner else "")


def _first_comment(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
    end = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def _settings(path):
    found = [
        f"| `{name}` | `{default}` | {meaning} |" if name else f"| *{meaning}* | | |"
        for name, default, meaning in _rows(path)
    ]
    return ["| setting | default | meaning |", "|---|---|---|", *found]


def _rows(path):
    """A file's settings: dotted name, default and comment. A comment of lines of its own has no name."""
    found, parents, comment = [], [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif match := SETTING.match(line):
            indent, name, default, meaning = match.groups()
            parents = [*parents[: len(indent) // 2], name]
            if default and parents[0] not in NO_SETTING and name not in NO_SETTING:
                if comment and path.parent.name == "settings":
                    found.append(("", "", _cell(" ".join(comment))))
                found.append((".".join(parents), default.strip().strip("'\""), _cell(meaning or "")))
            comment = []
        else:
            comment = []
    return found


def _cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")
