"""What people see, frozen before a rebuilding and compared after each of its steps.

    .ci/tool golden /tmp/before        # on the commit before
    .ci/tool golden /tmp/after && diff -r /tmp/before /tmp/after

Writes files of lines into a folder: every view of the page over all committed records in both languages, what commands
print about them, what two stored folders are judged, and what `suite.load` reads.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import suite
from tests.report.reading import blocks_of
from tests.wrong_lines import ROOT

REFERENCE = ROOT / "results" / "reference"
CPU = "results/reference/cpu"
COMMANDS = (
    *(f"ls {group}" for group in ("", "attention", "geometry", "sweep", "algorithm", "workload", "hardware")),
    *(f"explain {topic} --lang {lang}" for topic in ("mla", "gqa", "grpo", "ppo") for lang in ("en", "zh")),
    "fit --algorithm grpo --gpus 8xh100 --model llama-3.1-8b",
    "fit --algorithm ppo --gpus 4x80 --model qwen2.5-7b",
    "choose --gpus 8xh100 --context 32k --model deepseek-v3",
    "choose --gpus 4x80 --context 8k --model llama-3.1-70b",
    f"results list {CPU}/single",
    f"results list {CPU}/rl_memory",
    f"compare {CPU}/attention --by attention",
    f"compare {CPU}/rl --by algorithm",
    f"compare {CPU}/train --by attention --json",
    f"compare {CPU}/quality --by attention",
    f"gate --baseline {CPU}/attention --candidate {CPU}/attention",
    f"gate --baseline results/reference/cpu_one_launch --candidate {CPU}/attention",
    f"gate --baseline {CPU}/train --candidate {CPU}/train_matched",
    f"results verify {CPU}/attention {CPU}/rl_memory {CPU}/quality",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "suite", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", "COLUMNS": "120", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def page() -> Iterator[tuple[str, str]]:
    """Each block of the page: a line for each value, so that a difference shows where it is."""
    folders = sorted(str(path.relative_to(ROOT)) for path in REFERENCE.iterdir() if path.is_dir())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "page.html"
        ended = run("report", *chain.from_iterable(("--results", one) for one in folders), "--out", str(out))
        yield "page/said.txt", (ended.stdout + ended.stderr).replace(folder, "")
        for name, block in blocks_of(out.read_text(encoding="utf-8")).items():
            yield f"page/{name.replace('/', '_')}.json", json.dumps(block, ensure_ascii=False, indent=0, sort_keys=True)


def commands() -> Iterator[tuple[str, str]]:
    for line in COMMANDS:
        with tempfile.TemporaryDirectory() as out:
            ended = run(*line.split(), *(("--out", out) if line.startswith("gate") else ()))
        said = f"{ended.stdout}\n{ended.stderr}\nexit code {ended.returncode}".replace(out, "OUT")
        yield f"commands/{re.sub('[^a-z0-9.]+', '_', line)}.txt", said


def loaded() -> Iterator[tuple[str, str]]:
    for folder in sorted(
        path for path in REFERENCE.rglob("*") if path.is_dir() and path.parent.name in ("cpu", "reference")
    ):
        if folder.name in ("cpu", "gate"):
            continue
        table = suite.load(folder).table()
        content = table.to_csv()
        digest = hashlib.sha256(content.encode()).hexdigest()
        yield f"loaded/{folder.name}.txt", f"{table.shape}\n{list(table.columns)}\n{digest}\n{content[:20_000]}"


def main(folder: Path) -> None:
    for name, content in chain(page(), commands(), loaded()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
