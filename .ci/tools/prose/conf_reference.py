"""The lists of settings in conf/README.md and conf/settings/README.md, from the YAML files and their comments."""

import re
from collections import defaultdict
from pathlib import Path

import yaml

CONF = Path(__file__).resolve().parents[3] / "conf"
SETTING = re.compile(r"^( *)([\w.]+):(?: ([^#]*?))?(?: # ?(.*))?$")
FIRST_SENTENCE = re.compile(r".*?(?:[.?](?= [A-Z`])|$)")
GROUPS = {
    "workload": "what is run",
    "attention": "the attention variant",
    "geometry": "the sizes of a published model",
    "backend": "how attention is computed",
    "measure": "how long a case is timed",
    "telemetry": "what is recorded beside a run",
    "launcher": "where cases run, also written `engine=`",
    "hardware": "the device of `workload=projection`, by its specification",
    "algorithm": "the RL algorithm; its settings have no prefix",
    "recipe": "the stages in which a policy is trained",
    "policy": "the policy that RL trains",
    "task": "the task of RL or of quality",
    "sweep": "named sweeps, for `suite run -m sweep=NAME`",
}
WITH_SETTINGS = ("attention", "measure", "telemetry", "launcher", "algorithm", "task")
"""Groups whose options list their own settings. The files of the other groups hold sizes and stages."""
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
    """Markdown of conf/README.md: the settings of every run, then the options of each group."""
    parts = ["", "## Settings of every run", "", *_settings(CONF / "run.yaml"), ""]
    for group, meaning in GROUPS.items():
        paths = sorted((CONF / group).glob("*.yaml"))
        options = _geometries(paths) if group == "geometry" else _options(paths)
        parts += [f"## `{group}=`: {meaning}", "", *options, ""]
    return "\n".join(parts)


def workload_settings():
    """Markdown of conf/settings/README.md: a table for each file of settings that a workload has."""
    parts = [""]
    for path in sorted((CONF / "settings").glob("*.yaml")):
        parts += [f"## {path.stem}", "", *_settings(path), ""]
    return "\n".join(parts)


def _geometries(paths):
    """A line per attention variant, with the names of the models that have it."""
    models = defaultdict(list)
    for path in paths:
        models[yaml.safe_load(path.read_text(encoding="utf-8"))["attention"].upper()].append(f"`{path.stem}`")
    return [f"- {variant}: {', '.join(names)}" for variant, names in sorted(models.items())]


def _options(paths):
    """A line per option: a device's peaks, or the first sentence of the file's comment and its settings."""
    if paths[0].parent.name == "hardware":
        return [_device(path) for path in paths]
    settings = {path.stem: {row[:2]: row for row in _rows(path) if row[0]} for path in paths}
    has_settings = paths[0].parent.name in WITH_SETTINGS
    return [_option(path, settings if has_settings else {path.stem: {}}) for path in paths]


def _device(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    peak = content["dense_tflops"].get("bf16") or content["dense_tflops"].get("fp16")
    sizes = f"{content['memory_gb']} GB, {content['mem_bw_gbs']:,} GB/s, {peak:,} TFLOP/s in 16 bit"
    return f"- `{path.stem}`: {sizes}"


def _option(path, settings_by_option):
    """A line of Markdown about one option, with those of its settings that it does not share with `mla`."""
    summary = FIRST_SENTENCE.match(" ".join(_first_comment(path)))[0].replace("<", "&lt;")
    settings = settings_by_option[path.stem]
    # Most forms of MLA have the settings of `mla`, which are written there alone.
    shared = settings_by_option.get("mla", {}) if path.stem != "mla" else {}
    if not (shared and shared.keys() <= settings.keys()):
        shared = {}
    prefix = "" if "# @package _global_" in path.read_text(encoding="utf-8") else f"{path.parent.name}."
    entries = ["those of `mla`"] if shared else []
    entries += [
        f"`{prefix}{name}={default}`" + (f" ({meaning})" if meaning else "")
        for key, (name, default, meaning) in settings.items()
        if key not in shared
    ]
    return f"- `{path.stem}`: {summary}" + (f" Settings: {'; '.join(entries)}." if entries else "")


def _first_comment(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
    end = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def _settings(path):
    """The lines of a table of a file's settings."""
    rows = [
        f"| `{name}` | `{default}` | {meaning} |" if name else f"| *{meaning}* | | |"
        for name, default, meaning in _rows(path)
    ]
    return ["| setting | default | meaning |", "|---|---|---|", *rows]


def _rows(path):
    """A file's settings as (dotted name, default, comment). A comment on lines of its own has no name."""
    rows, parents, comment = [], [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif match := SETTING.match(line):
            indent, name, default, meaning = match.groups()
            parents = [*parents[: len(indent) // 2], name]
            if default and parents[0] not in NO_SETTING and name not in NO_SETTING:
                if comment and path.parent.name == "settings":
                    rows.append(("", "", _cell(" ".join(comment))))
                rows.append((".".join(parents), default.strip().strip("'\""), _cell(meaning or "")))
            comment = []
        else:
            comment = []
    return rows


def _cell(text):
    """The text, escaped for a cell of a table in Markdown."""
    return text.replace("|", "\\|").replace("<", "&lt;")
