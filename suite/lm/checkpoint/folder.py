"""The check of a stranger's folder, before anything in it is opened.

A pipe would be waited for without end, a link may lead to any file of whoever reads, and an index may name one. Nothing
of a folder is ever run: weights are safetensors, tokenizers are JSON, and code that comes with a model is left alone.
"""

import stat
from pathlib import Path

from suite.configuration.untrusted import parse_json, read_bounded
from suite.configuration.values import clipped
from suite.lm.checkpoint.locate import WEIGHTS, CheckpointFiles
from suite.measure.workload import UnsupportedError

INDEX = ".safetensors.index.json"
TEMPLATES = "additional_chat_templates"
_BESIDE = (".json", ".txt", ".model", ".jinja")
MOST_BESIDE_BYTES = 24 << 20
"""Size of a file that holds no weights, at most. Llama 3's tokenizer has 17 MB at most; JSON that is made to harm takes
35 times its size in memory."""
MOST_WEIGHTS = 1_000_000  # entries of an index. DeepSeek-V3's has 92,000.
SNAPSHOTS, BLOBS = "snapshots", "blobs"
"""Folders in the cache of huggingface_hub, in which a snapshot's files are links to blobs."""


def check_folder(place: CheckpointFiles) -> None:
    """Raise UnsupportedError for a file that is irregular, too large or a link out, or an index of other files."""
    if place.gguf:
        return
    folder, weights = place.folder, {path.name for path in place.weight_files()}
    try:
        below = [path for within in (folder, folder / TEMPLATES) if within.is_dir() for path in within.iterdir()]
    except OSError as error:
        raise UnsupportedError(f"the checkpoint {folder.name} cannot be read ({error.strerror or error})") from error
    # All that a decoder and its tokens may be read from, by this package or by transformers.
    readable = sorted(path for path in below if path.suffix in (*_BESIDE, WEIGHTS) or path.name == TEMPLATES)
    faults = [(path, _file_fault(path, folder)) for path in readable]
    if not any(fault for _, fault in faults):
        faults = [(path, _index_fault(path, weights)) for path in sorted(folder.glob(f"*{INDEX}"))]
    for path, fault in faults:
        if fault is not None:
            raise UnsupportedError(f"{clipped(path.name)[1:-1]} of the checkpoint {place.name} {fault}")


def _file_fault(path: Path, folder: Path) -> str | None:
    """What is wrong with a file, to follow its name: unreadable, a link out, irregular, too large; or None."""
    try:
        status, leads_to = path.stat(), path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # the latter of links in a circle
        return f"cannot be read ({error.__class__.__name__})"
    top = folder.resolve()
    blobs = top.parents[1] / BLOBS if len(top.parents) > 1 and top.parent.name == SNAPSHOTS else top
    if path.is_symlink() and not any(leads_to.is_relative_to(within) for within in (top, blobs)):
        return "is a link that leads out of its folder"
    if path.name == TEMPLATES:
        return None
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if path.suffix != WEIGHTS and status.st_size > MOST_BESIDE_BYTES:
        return f"is larger than {MOST_BESIDE_BYTES} bytes"
    return None


def _index_fault(path: Path, weights: set[str]) -> str | None:
    """What is wrong with an index of weights, to follow its name; None if nothing. Weights are read from all files that
    lie there, so it only has to name no others."""
    try:
        index, _ = parse_json(read_bounded(path, MOST_BESIDE_BYTES, may_be_link=True), most_values=MOST_WEIGHTS)
        named = set(index["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"is not an index of weights ({error.__class__.__name__})"
    strangers = sorted(clipped(name) for name in named - weights)
    return f"names {strangers[0]}, which is not one of the checkpoint's files" if strangers else None
