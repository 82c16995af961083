"""What a question names: a model or sizes of one's own, GPUs, tokens; each by a short name too."""

import functools
import re
from collections.abc import Mapping
from typing import Any

from suite.configuration.files import choices, read_choice, read_yaml
from suite.configuration.values import did_you_mean, whole_number
from suite.theory.devices.gpus import Gpus, gpus_from

SIZES = ("hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim", "intermediate_size", "vocab_size")
"""Sizes of a model of one's own, all of which it has to say."""
TOKENS = re.compile(r"(\d+)(k|m)?", re.IGNORECASE)
SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(us|µs|ms|s)")
PREFERRED = {
    "geometry": {
        "8b": "llama-3.1-8b",
        "70b": "llama-3.1-70b",
        "405b": "llama-3.1-405b",
        "1b": "llama-3.2-1b",
        "3b": "llama-3.2-3b",
        "7b": "qwen2.5-7b",
        "32b": "qwen2.5-32b",
        "72b": "qwen2.5-72b",
        "0.5b": "qwen2.5-0.5b",
        "1.5b": "qwen2.5-1.5b",
        "deepseek-r1": "deepseek-v3",
        "r1": "deepseek-v3",
        "671b": "deepseek-v3",
    },
    "hardware": {
        "a100": "a100-80gb-sxm4",
        "h100": "h100-sxm5-80gb",
        "h200": "h200-sxm-141gb",
    },
}
"""Short names that would be of several, and which of them is meant."""


def gpus_named(text: object) -> Gpus:
    """Read a set of GPUs, whose device may have a short name: `4xh100`. Raises ValueError for anything else."""
    count, _, device = text.partition("x") if isinstance(text, str) else ("", "", "")
    return gpus_from(f"{count}x{short_names('hardware').get(device, device)}" if device else text)


def tokens_from(text: str, name: str) -> int:
    """Read a number of tokens, as 32768 or 32k, which is 32 times 1,024. Raises ValueError, which calls it `name`."""
    match = TOKENS.fullmatch(text.strip().replace(",", ""))
    if match is None:
        raise ValueError(f"{name} must be a whole number of tokens, as 32768 or 32k; got {text!r}")
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024**2}[(match[2] or "").lower()]


def seconds_from(text: str, name: str) -> float:
    """Read a time, as 30ms, 1.5s or 200us. Raises ValueError, which calls it `name`."""
    match = SECONDS.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{name} must be a time above 0 with its unit, as 30ms or 1.5s; got {text!r}")
    return float(match[1]) * {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[match[2]]


def sizes_from(text: str) -> dict[str, int]:
    """Read the sizes of a model of one's own: `hidden_size=4096,num_layers=32,…`. Raises ValueError for other names."""
    sizes: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in SIZES:
            raise ValueError(f"sizes must name {', '.join(SIZES)}; got {name!r}{did_you_mean(name, SIZES)}")
        if not value.isdecimal():
            raise ValueError(f"sizes.{name} must be a whole number of at least 1; got {value!r}")
        sizes[name] = int(value)
    return sizes


def model_named(name: str) -> str:
    """The full name of a published geometry, given that or a short name. Raises ValueError with near names."""
    full_name = short_names("geometry").get(name, name)
    if full_name not in choices("geometry"):
        parts = set(name.split("-"))
        near = [option for option in choices("geometry") if parts <= set(option.split("-"))]
        hint = f"; did you mean {' or '.join(near[:4])}?" if near else did_you_mean(name, choices("geometry"))
        raise ValueError(f"model must be a geometry, which `suite ls geometry` lists; got {name!r}{hint}")
    return full_name


@functools.cache
def short_names(group: str) -> dict[str, str]:
    """Each name that means just one of a group's options, and which: full names, aliases, and parts such as `h100`."""
    runs: dict[str, list[str]] = {}
    for option in choices(group):
        parts = option.split("-")
        names = {"-".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)}
        aliases = read_yaml(f"{group}/{option}.yaml").get("aliases", ()) if group == "hardware" else ()
        for run in sorted(names | set(aliases)):  # in one order, so that a page is the same each time it is written
            runs.setdefault(run, []).append(option)
    unique = {run: options[0] for run, options in runs.items() if len(options) == 1}
    return unique | PREFERRED.get(group, {}) | {option: option for option in choices(group)}


def own_model(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a dense model of one's own, as those of conf/geometry. Raises ValueError for wrong sizes."""
    checked = {name: whole_number(sizes, name, at_least=1, where="sizes.") for name in SIZES}
    heads, groups, width = checked["num_heads"], checked["num_kv_heads"], checked["head_dim"]
    if heads % groups:
        raise ValueError(f"sizes.num_heads must be a multiple of sizes.num_kv_heads; got {heads} and {groups}")
    if width % 4:
        raise ValueError(f"sizes.head_dim must be a multiple of 4, since MLA rotates half of it in pairs; got {width}")
    return {
        "name": "own",
        "attention": "mha" if groups == heads else "gqa",
        "rope_theta": 10_000,
        "tie_embeddings": False,
        **checked,
    }


def asked_model(question: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of a question's model, by its `model` or `sizes`. Raises ValueError for both or neither."""
    if (question["model"] is None) == (question["sizes"] is None):
        raise ValueError("a question needs either model or sizes; got " + ("both" if question["model"] else "neither"))
    if question["sizes"] is not None:
        return "own", own_model(question["sizes"])
    name = model_named(question["model"])
    return name, read_choice("geometry", name)
