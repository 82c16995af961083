"""The folder of a judgement: `judgement.json` is written last, so a folder that has it has everything.

It is committed and forwarded like a record, so it holds no path, no name of a person or machine and no secret.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from suite.gate.output.github import markdown
from suite.gate.output.junit import junit
from suite.gate.verdict import CorruptJudgementError, Judgement, Side, Verdict, judgement_from_json
from suite.machine.privacy import scrubbed
from suite.records.record import CorruptRecordError
from suite.records.stores.files import write_whole
from suite.records.stores.store import JUDGEMENT as JUDGEMENT
from suite.records.stores.store import JUNIT, SUMMARY, read_file

RESULTS = Path("results/gate")


def write_judgement(judgement: Judgement, folder: Path, tables: Mapping[str, bytes]) -> None:
    """Write judgement.json, summary.md, junit.xml and `tables`, files by name, into a folder, without secrets. The
    summary comes first: by it `suite.records.stores.store` tells an unfinished judgement from a run."""
    public = without_secrets(judgement)
    text = json.dumps(_finite(public.as_json()), indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JUDGEMENT).unlink(missing_ok=True)  # an older one would vouch for files that are not its own
    files = {SUMMARY: markdown(public).encode(), JUNIT: junit(public), **tables, JUDGEMENT: text.encode()}
    for name, content in files.items():
        write_whole(folder / name, content)


def read_judgement(folder: Path) -> Judgement:
    """Read the judgement of a folder. Raises CorruptJudgementError for a damaged or foreign one."""
    try:
        return judgement_from_json(read_file(folder / JUDGEMENT))
    except CorruptRecordError as error:
        raise CorruptJudgementError(str(error)) from error


def without_secrets(judgement: Judgement) -> Judgement:
    """The judgement without paths, secrets and names of people or machines, as it may leave this machine."""
    return replace(
        judgement,
        before=Side(**scrubbed(asdict(judgement.before))),
        after=Side(**scrubbed(asdict(judgement.after))),
        verdicts=[
            Verdict(**{**scrubbed(asdict(verdict)), "outcome": verdict.outcome}) for verdict in judgement.verdicts
        ],
        warnings=scrubbed(list(judgement.warnings), is_free=True),
        facts=scrubbed(judgement.facts),
    )


def _finite(value: Any) -> Any:
    """A nested value with infinity and NaN, which JSON lacks, replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
