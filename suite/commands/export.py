"""`suite results export`: runs into MLflow, by its own library.

A run becomes a run there: its case are the parameters, its readings the metrics, named `span/metric`. What was timed
again and again is its median; what a training left step by step is a curve. The raw readings stay with the record.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from suite.machine.installation import install_command
from suite.machine.plain_text import say
from suite.records.derived import started_at
from suite.records.record import RECORD, TIMINGS, Record, Status
from suite.records.stores.claim import alone_in, locks_folder
from suite.records.stores.store import check_folders, each_run, file_digest
from suite.records.verify.faults import whole_runs

DONE, BROKEN = 0, 4
# Metrics that MLflow takes in one call.
MOST_AT_ONCE = 1_000
SQLITE = "sqlite:///"
# Characters that MLflow refuses in the name of a metric or a parameter.
NOT_IN_A_NAME = re.compile(r"[^\w. :/-]")


def export(folders: Sequence[Path], to: str) -> int:
    """Write each whole run below the folders into MLflow, `to` being its tracking URI. One that is there already is not
    written again. Returns 4 where a run is damaged or has a fault, which is left out.

    Raises ValueError where MLflow is not installed, does not know the URI or refuses a run.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ValueError(
            f"export needs MLflow, which is not installed: {install_command('mlflow')} ({error})"
        ) from error
    if to.startswith(SQLITE):
        Path(to.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    num_written, left_out = 0, list[Path]()
    try:
        with alone_in(locks_folder(to)):  # two at once would each make the tables, look first and write a run twice
            client = MlflowClient(tracking_uri=to)
            check_folders(folders)
            for run in whole_runs(each_run(folders), left_out):
                num_written += _write(client, run.record, file_digest(run.folder / RECORD))
    except MlflowException as error:
        raise ValueError(f"MLflow refused: {str(error).strip().splitlines()[0]}") from error
    say(f"{num_written} runs written, {len(left_out)} left out")
    return BROKEN if left_out else DONE


def scalar_points(record: Record) -> list[tuple[str, int, float]]:
    """Name, step and value of each of a record's metrics, as trackers have them; repeated readings by their median."""
    points: dict[tuple[str, int], list[float]] = defaultdict(list)
    is_repeated = isinstance(record.provenance.get("launches"), Mapping)
    for reading in record.readings:
        step = 0 if is_repeated and reading.metric in TIMINGS else reading.step
        points[f"{reading.span}/{reading.metric}", step].append(reading.value)
    return [(name, step, median(values)) for (name, step), values in sorted(points.items())]


def _write(client: Any, record: Record, digest: str) -> bool:
    """Write a record as a run of MLflow, with its case, metrics and tags; False where its digest is there already."""
    from mlflow.entities import Metric, Param

    name = record.case.workload
    stored = client.get_experiment_by_name(name)
    experiment = stored.experiment_id if stored else client.create_experiment(name)
    if client.search_runs([experiment], f"tags.record_sha256 = '{digest}'"):
        return False
    facts = {**record.environment, **record.provenance, "status": record.status, "started_at": started_at(record)}
    tags = {name: str(facts[name]) for name in ("machine_id", "cpu", "commit", "status", "started_at") if name in facts}
    begun_ms = int(datetime.fromisoformat(started_at(record) or "1970-01-01T00:00Z").timestamp() * 1000)
    run = client.create_run(experiment, start_time=begun_ms, tags=tags).info.run_id
    case = {**record.case.axes, **record.case.extras}
    client.log_batch(run, params=[Param(NOT_IN_A_NAME.sub("_", key), str(value)) for key, value in case.items()])
    metrics = [Metric(NOT_IN_A_NAME.sub("_", key), value, begun_ms, step) for key, step, value in scalar_points(record)]
    for first in range(0, len(metrics), MOST_AT_ONCE):
        client.log_batch(run, metrics=metrics[first : first + MOST_AT_ONCE])
    client.set_tag(run, "record_sha256", digest)  # last: a run without it was cut short, and is written again
    client.set_terminated(run, "FINISHED" if record.status is Status.OK else "FAILED")
    return True
