"""A section of another package: what each variant's cache keeps of MHA's, one line a case."""

from suite.records import numbers
from suite.report.blocks import say, section
from suite.report.model.labels import variant_label
from suite.report.model.run import Run
from suite.report.table import column, table


def build(results):
    runs = [Run(current=current) for current in results.records if current.record.case.workload == "attention"]
    columns = [
        column("column.variant", lambda run: variant_label(run.axis("attention")), facet="variant"),
        column("tied_page.kept", _kept, numbers.percent),
    ]
    return section("tied_page", tables=[table(say("tied_page.table"), runs, columns)]) if runs else None


def _kept(run):
    kept, of_mha = (run.constant(name) for name in ("cache_bytes", "cache_bytes_mha"))
    return kept / of_mha if kept and of_mha else None
