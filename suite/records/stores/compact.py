"""Makes a closed sweep smaller: clocks keep seven digits, and telemetry a row for each phase, device and quantity."""

from typing import TYPE_CHECKING

from suite.records.record import Record
from suite.records.stores.store import READINGS
from suite.records.stores.tables import FLOAT32, TableFile
from suite.records.stores.telemetry import telemetry_facts

if TYPE_CHECKING:
    import pyarrow as pa

CLOCKS = ("wall_s", "thread_cpu_s", "process_cpu_s")
COMPACT_TYPES = dict.fromkeys(CLOCKS, FLOAT32)


def compacted(table: TableFile, rows: "pa.Table", record: Record) -> "pa.Table":
    """A run's rows as a compact sweep keeps them, in the types of `table`.

    Samples with marks are summed up only where the record says which share of them was marked.
    """
    if table is READINGS:
        for place, column in enumerate(rows.schema):
            if column.name in CLOCKS:
                rows = rows.set_column(place, column, rows[column.name].cast(FLOAT32).cast(column.type))
        return rows
    is_unmarked = rows["mark"].null_count == rows.num_rows
    return _summed_up(rows) if is_unmarked or telemetry_facts(record).get("marked_share") else rows


def _summed_up(rows: "pa.Table") -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    is_one_sample = pc.is_null(rows["samples"])
    grouped = rows.filter(is_one_sample).group_by(["phase", "device", "quantity"], use_threads=False)
    functions = [("time_s", "min"), ("time_s", "max"), ("unix_s", "min")]
    of_group = grouped.aggregate([*functions, *(("value", name) for name in ("count", "mean", "min", "max"))])
    names = {"time_s": "time_s_min", "until_s": "time_s_max", "unix_s": "unix_s_min"}
    names |= {"samples": "value_count", "value": "value_mean", "least": "value_min", "most": "value_max"}
    columns = {name: of_group[names.get(name, name)] for name in rows.schema.names if name != "mark"}
    columns["mark"] = pa.nulls(of_group.num_rows, pa.string())
    summed_before = rows.filter(pc.invert(is_one_sample))
    return pa.concat_tables([summed_before, pa.table(columns, schema=rows.schema)]).sort_by("time_s")
