"""What is printed while a sweep runs: a live line where there is a terminal, plain lines elsewhere."""

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from suite.console.progress import Terminal
from suite.console.record import answer, value_marks
from suite.console.summary import summarise_record
from suite.records.record import Status
from suite.records.stores.store import StoredRecord
from tests.records.factory import build
from tests.report.quality_records import arm, quality_record
from tools.hostile.texts import SPACED, TEXTS, harmful

ROOT = Path(__file__).parents[2]


def swept(*records, stored=(), workers=1):
    """What a sweep of these records prints, some of them recorded before."""
    with Terminal([record.case for record in (*stored, *records)], is_sweep=True, workers=lambda: workers) as terminal:
        terminal.recorded([StoredRecord(record=record, folder=Path("results") / "x") for record in stored])
        for record in records:
            terminal.started(record.case)
            terminal.finished(record, Path("results") / "x")
    terminal.summary(Path("results"))


def took(record, seconds):
    return replace(
        record, provenance={**record.provenance, "duration_s": seconds + 1, "durations_s": {"ceilings": 1.0}}
    )


def test_side_by_side_cases_take_what_the_clock_says(capsys):
    swept(took(build(), 2000.0), took(build(attention="gqa"), 3000.0), workers=2)
    (ended,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("2 cases")]
    assert " min" not in ended


def test_outside_a_terminal_there_are_plain_lines_and_a_table(capsys):
    failed = build(attention="mha", status=Status.FAILED, reason="it broke")
    swept(took(build(), 2.0), took(build(attention="gqa"), 3.0), failed, stored=[build(seq_len=64)])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    shared, recorded, *_ = said.splitlines()
    assert shared == (
        "workload=attention geometry=deepseek-v2-lite match=heads phase=decode query_len=1 batch=1 tp=1 dtype=bfloat16 "
        "backend=auto device=cpu threads=1"
    )
    assert recorded == "1 of 4 cases was recorded before (resume=false measures all again)"
    assert "[3/4]  gqa        4096     ok  layer 1.49 ms" in said
    assert said.splitlines()[-9:] == [
        "attention  seq_len  status                   layer               kernel  roofline  cache per token",
        "mla        64       ok      1.49 ms (1.40–1.60 ms)  596 µs (560–640 µs)      134%         72.0 KiB",
        "mla        4096     ok      1.49 ms (1.40–1.60 ms)  596 µs (560–640 µs)      134%         1.12 KiB",
        "gqa        4096     ok      1.49 ms (1.40–1.60 ms)  596 µs (560–640 µs)      134%         1.12 KiB",
        "mha        4096     failed                       -                    -         -                -",
        "4 cases: 3 ok, 1 failed; 1 recorded before; took 5.0 s",
        "1 failed: it broke",
        "gqa against mla (seq_len=4096): 1.49 ms against 1.49 ms, speed ratio 1.00×: "
        "one launch, so not compared (at least 2 are needed).",
        "records: results",
    ]


def test_a_sweep_over_machines_names_each_and_compares_none(capsys):
    machines = [{"machine_id": name, "cpu": "A processor"} for name in ("aaaa1111", "bbbb2222")]
    names = ("mha", "mla")
    swept(*(took(build(attention=name, environment=one), 1.0) for name, one in zip(names, machines, strict=True)))
    said = capsys.readouterr().out
    assert [line.split()[:4] for line in said.splitlines()[-5:-2]] == [
        ["attention", "machine", "layer", "kernel"],
        ["mha", "A", "processor,", "aaaa"],
        ["mla", "A", "processor,", "bbbb"],
    ]
    assert " against " not in said


def test_runs_of_many_seeds_share_a_row_in_a_big_sweep(capsys):
    swept(*(one for name in ("mha", "mqa") for one in arm([0.5 + 0.01 * seed for seed in range(24)], attention=name)))
    said = capsys.readouterr().out.splitlines()
    table = [line.split() for line in said[said.index("") + 1 :]]
    assert table[0][:4] == ["attention", "runs", "accuracy", "CPU"]
    assert [row[:4] for row in table[1:3]] == [["mha", "24", "62%", "0"], ["mqa", "24", "62%", "0"]]


def test_disturbed_runs_have_a_mark_and_one_line_for_all(capsys):
    interrupted = build(attention="mha")
    moved = [
        replace(one, involuntary_switches=1 if one.metric == "latency_s" else None) for one in interrupted.readings
    ]
    slow = "layer: wall time is 2.10 times the CPU time that is reported: other work was running"
    swept(
        replace(interrupted, readings=moved),
        build(attention="gqa", provenance={"warnings": [slow]}),
        build(attention="mqa", provenance={"warnings": ["kernel: sdpa fell to torch's math path"]}),
        build(),
    )
    said = capsys.readouterr().out
    assert "2 of 4 cases were disturbed by context switches and other work on the CPU (marked ~)" in said
    assert (
        "1 of 4 cases with a warning (!): kernel: sdpa fell to torch's math path. Details: suite results show" in said
    )
    assert "wall time" not in said
    marks = [line.rsplit(" ", 1)[1] for line in said.splitlines() if line.startswith("[")]
    assert [mark if len(mark) == 1 else "" for mark in marks] == ["~", "~", "!", ""]


def test_a_layer_that_was_not_checked_is_marked_everywhere(capsys):
    known = build(attention="mha")
    foreign = replace(known, provenance={**known.provenance, "layer_check": "none: the variant states no definition"})
    swept(build(), foreign)
    lines = [line for line in capsys.readouterr().out.splitlines() if "NOT CHECKED (no definition)" in line]
    assert [line.split()[0] for line in lines] == ["[2/2]", "1"]  # the case's line, and the count of warnings
    assert value_marks(foreign) != value_marks(known)
    told = "\n".join(answer(foreign, "ok", summarise_record(foreign)))
    assert re.search(r"^check .*kernel 0\.002 .*, layer: NOT CHECKED \(no definition\)$", told, re.MULTILINE)
    assert "NOT CHECKED" not in "\n".join(answer(known, "ok", summarise_record(known)))


def test_a_line_now_and_then_says_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr("suite.console.progress.PLAIN_PROGRESS_EVERY_S", 0)
    first, second = took(build(), 90.0), took(build(attention="gqa"), 30.0)
    swept(first, second)
    assert "1 of 2 done: 1 ok; about 1 min 30 s left" in capsys.readouterr().out


def test_workloads_of_one_sweep_have_tables_of_their_own(capsys):
    learnt = [quality_record(attention=name) for name in ("mha", "mqa")]
    swept(build(), learnt[0], build(attention="gqa"), learnt[1])
    said = capsys.readouterr().out
    assert re.findall(r"^workload=(\w+)", said, re.MULTILINE) == ["attention", "quality"] * 2, (
        "above, and again with each table"
    )
    _, *tables = said.split("\n\n")
    headers = [re.search(r"^attention +(\w+)", table, re.MULTILINE)[1] for table in tables]
    assert headers == ["layer", "accuracy"]


def test_two_parallel_cases_share_a_header_and_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr("suite.console.progress.PLAIN_PROGRESS_EVERY_S", 0)
    first, second, third = took(build(), 90.0), took(build(attention="gqa"), 30.0), took(build(attention="mha"), 30.0)
    with Terminal([record.case for record in (first, second, third)], is_sweep=True, workers=lambda: 2) as terminal:
        terminal.started(first.case)
        terminal.started(second.case)
        terminal.finished(second, Path("results") / "x")
        terminal.started(third.case)
        terminal.finished(first, Path("results") / "x")
    said = capsys.readouterr().out
    lines = [line.split()[:2] for line in said.splitlines()[1:] if " done: " not in line]
    assert lines == [["attention", "result"], ["[1/3]", "gqa"], ["[2/3]", "mla"]]
    assert "1 of 3 done: 1 ok; about 30 s left" in said  # two of 30 s, at once


def test_what_did_not_run_is_counted(capsys):
    with Terminal([build().case, build(seq_len=1).case], is_sweep=True) as terminal:
        terminal.elsewhere(build().case)
    terminal.summary(Path("results"))
    said = capsys.readouterr().out
    assert f"another process is running {build().case.id}" in said
    assert "1 of 2 cases did not run; the same command continues" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminals_live_line_says_what_runs_and_leaves_nothing(tmp_path):
    import pty

    shown, theirs = pty.openpty()
    arguments = ["-m", "geometry=tiny", "seq_len=32,64", "measure=smoke", f"hydra.sweep.dir={tmp_path}"]
    environment = {**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-m", "suite.commands.run", *arguments],
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment,
    )
    os.close(theirs)
    said = io.BytesIO()
    while True:
        try:
            said.write(os.read(shown, 4096))
        except OSError:  # the other end is closed
            break
    os.close(shown)
    assert process.wait() == 0
    text = said.getvalue().decode()
    assert "of 2 done" in text
    assert "\x1b[32mok" in text
    assert text.rstrip().endswith(f"records: {tmp_path}")


@pytest.mark.parametrize("status", [Status.OK, Status.FAILED])
def test_no_text_of_a_record_moves_the_cursor_or_commands_ci(status, capsys):
    for text in (*TEXTS, SPACED):
        facts = {"shape": text, "mode": text, "match": text, "backend": text, "backend_form": text, "clock": text}
        facts |= {"operators": {"kernel": [text]}, "warnings": [text]}
        facts |= {"telemetry": {"sources": {"nvml": {"state": text, "why": text}}}}
        records = [
            build(status=status, reason=text, provenance=facts, attention=f"{text} {number}") for number in range(2)
        ]
        swept(records[0], stored=[records[1]])
        with Terminal([records[0].case], is_sweep=False) as alone:
            alone.started(records[0].case)
            alone.finished(records[0], Path("results") / text)
        assert harmful(capsys.readouterr().out) == []
