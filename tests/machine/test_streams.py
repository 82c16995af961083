import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suite import __main__ as command_line
from suite.machine.plain_text import complain
from suite.machine.streams import run_guarded
from suite.records.stores.store import read_contents

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="redirects as a POSIX shell does")
needs_dev_full = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
ENDED = "import sys; from suite.machine.streams import run_guarded; sys.exit(run_guarded(lambda: {}))"


def redirected(how, *arguments):
    """Python with these arguments, its streams as the shell has them: its exit code and what it says on standard error,
    where that is open."""
    command = ["sh", "-c", f'exec "$@" {how}', "sh", sys.executable, *arguments]
    ran = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT, check=False)
    return ran.returncode, ran.stderr


@needs_dev_full
@pytest.mark.parametrize(("how", "why"), [(">&-", "it is closed"), (">/dev/full", "No space left on device")])
@pytest.mark.parametrize("arguments", [["explain", "gqa"], ["--help"]])
def test_an_unwritable_answer_is_one_sentence_and_code_4(how, why, arguments):
    said = f"suite: standard output cannot be written: {why}\n"
    assert redirected(how, "-m", "suite", *arguments) == (4, said)


@pytest.mark.parametrize(("how", "code"), [("2>&-", 0), (">&- 2>&-", 4), ("<&- >&- 2>&-", 4), ("<&-", 0)])
def test_closed_streams_leave_the_exit_code(how, code):
    assert redirected(how, "-m", "suite") == (code, "")


def test_a_record_is_written_though_nobody_can_be_told(tmp_path):
    case = ("workload=projection", "hardware=h20-96gb", f"hydra.run.dir={tmp_path}")
    code, said = redirected(">&-", "-m", "suite.commands.run", *case)
    assert (code, len(said.splitlines())) == (4, 1)
    assert len(read_contents([tmp_path]).stored) == 1


def test_no_file_gets_a_closed_streams_number_here_or_in_a_child():
    code, _ = redirected("<&- >&- 2>&-", "-c", ENDED.format("open('README.md').fileno()"))
    assert code > 2
    child = "__import__('subprocess').call([sys.executable, '-c', 'import sys; sys.exit(9 if sys.stdout else 8)'])"
    assert redirected("<&- >&-", "-c", ENDED.format(child))[0] == 9


@needs_dev_full
def test_a_users_mistake_keeps_its_code_without_its_sentence():
    assert redirected("2>/dev/full", "-m", "suite", "explain", "nope") == (2, "")


def test_a_slow_reader_of_a_pipe_that_does_not_block_gets_all():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [sys.executable, "-c", ENDED.format("print('x' * 500_000) or 0")]
    process = subprocess.Popen(command, stdout=writer, cwd=ROOT)
    os.close(writer)
    time.sleep(0.3)  # long enough to fill the pipe
    with os.fdopen(reader, "rb") as pipe:
        assert len(pipe.read()) == 500_001
    assert process.wait() == 0


def test_a_minus_stays_one_in_an_old_encoding():
    command = [sys.executable, "-c", ENDED.format("print('−2 × λ') or 0")]
    old = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    assert subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, env=old, check=True).stdout == b"-2 \xd7 ?\n"


class Console(io.TextIOWrapper):
    def isatty(self):
        return True


def test_a_console_of_windows_keeps_its_own_stream(monkeypatch):
    console = Console(io.BytesIO(), encoding="ascii")
    for name in ("stdout", "__stdout__"):
        monkeypatch.setattr(sys, name, console)
    monkeypatch.setattr(sys, "platform", "win32")
    assert run_guarded(lambda: print("a − b") or 0) == 0
    console.flush()
    assert console.buffer.getvalue().split() == [b"a", b"-", b"b"]


def test_a_fault_of_the_suite_shows_a_traceback_and_no_verdict(monkeypatch, capsys):
    assert run_guarded(lambda: 1 // 0) == 70
    monkeypatch.setattr("suite.commands.explain.explain", lambda *_, **__: 1 // 0)
    monkeypatch.setattr(sys, "argv", ["suite", "explain", "mla"])
    assert command_line.main() == 70
    assert capsys.readouterr().err.count("ZeroDivisionError") == 2


def test_a_complaint_is_one_line_that_can_be_read(capsys):
    complain(f"suite: no such file\x1b[2J\n ({'n' * 10_000})")
    said = capsys.readouterr().err
    assert said.startswith("suite: no such file [2J  (n")
    assert said.count("\n") == 1
    assert len(said) < 300
