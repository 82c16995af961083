"""The one way out of every command: its exit code, what is wrong in one sentence, and streams that cannot be written.

A closed terminal, a full disk and a reader that left are looked after here. What is measured meanwhile is recorded all
the same, and the exit code says that output was lost. Imports nothing but what every Python has loaded.
"""

import codecs
import errno
import io
import os
import sys

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DONE, USAGE, CANNOT_JUDGE, BROKEN, FAULT, INTERRUPTED = 0, 2, 3, 4, 70, 130
"""FAULT: of the suite itself, whose traceback is shown. Python's own 1 would say slower."""
EXTRA_OF = {
    **dict.fromkeys(("torch", "hydra", "omegaconf"), "run"),
    **dict.fromkeys(("pandas", "pyarrow", "plotly", "jinja2"), "report"),
}
"""The extra of pyproject.toml that brings a module."""


class ReaderLeftError(BrokenPipeError):
    """Whoever read standard output is gone, as `head` is after ten lines: the command ends quietly."""


class CommandFailedError(Exception):
    """Why a command ends with an exit code of its own. It may come from another process."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence, code)  # both, for pickle
        self.sentence, self.code = sentence, code

    def __str__(self) -> str:
        return self.sentence


class _LossyStream(io.FileIO):
    """A standard stream that goes on taking what it cannot write, and remembers why."""

    def __init__(self, descriptor: int, failure: OSError | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.failure = failure
        self.has_lost = False

    def write(self, data: "Any") -> int:
        """Write, or drop the data after a failure; returns the bytes taken either way. Raises ReaderLeftError once."""
        try:
            while self.failure is None:
                if (num_bytes := super().write(data)) is not None:
                    return num_bytes
                import select

                select.select([], [self], [])  # a pipe that does not block is full
        except OSError as error:
            self.failure = error
            if self.fileno() == 1 and isinstance(error, BrokenPipeError):
                raise ReaderLeftError(*error.args) from error
        self.has_lost = True
        return len(data)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join("-" if letter == "−" else "?" for letter in error.object[error.start : error.end]), error.end


codecs.register_error("suite.stand_in", _stand_in)


def run_guarded(command: "Callable[[], int]") -> int:
    """Run a command with guarded standard streams; its exit code once its output is written or known to be lost."""
    # Opened where closed, for children too: else the next file, even a record, gets a standard stream's number.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    usual = sys.stdout, sys.stderr
    out, _ = _replace_stream("stdout", 1), _replace_stream("stderr", 2)
    try:
        code = run_or_complain(command)
        return code if out is None else _code_after_flush(*out, code)
    finally:
        sys.stdout, sys.stderr = usual


def run_or_complain(command: "Callable[[], int]") -> int:
    """Run a command; return its exit code, after one sentence about an error that a user can cause."""
    try:
        return command()
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else DONE
    except (KeyboardInterrupt, ReaderLeftError):
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            return _fault()
        from suite.machine.installation import install_command  # only where something is missing

        installation = install_command(EXTRA_OF[error.name])
        _complain(f"suite: this needs {error.name}, which is not installed here: {installation}")
        return CANNOT_JUDGE
    except CommandFailedError as failure:
        _complain(f"suite: {failure}")
        return failure.code
    except ValueError as error:
        _complain(f"suite: {error}")
        return USAGE
    except OSError as error:
        _complain(f"suite: {system_message(error)}")
        return system_error_code(error)
    except Exception:
        return _fault()


def _complain(why: str) -> None:
    from suite.machine.plain_text import complain  # only where something is wrong

    complain(why)


def system_message(error: OSError) -> str:
    """The system's own words and the file: `No space left on device (reports/index.html)`."""
    return f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"


def system_error_code(error: OSError) -> int:
    """The exit code of a system's error: a name that no file can have is the user's mistake."""
    return USAGE if error.errno == errno.ENAMETOOLONG else BROKEN


def _fault() -> int:
    """Print the traceback of the suite's own error, and return its exit code."""
    import traceback

    traceback.print_exc()
    return FAULT


def _replace_stream(name: str, descriptor: int) -> "tuple[io.TextIOWrapper, _LossyStream] | None":
    """Put a stream over a _LossyStream in the place of sys's stream of this name, and return both. None, with nothing
    changed, where a test or a notebook has put a stream of its own there."""
    usual = getattr(sys, name)
    if usual is not getattr(sys, f"__{name}__"):
        return None
    errors = "suite.stand_in" if descriptor == 1 else "backslashreplace"
    if sys.platform == "win32" and usual is not None and usual.isatty():
        usual.reconfigure(errors=errors)
        return None  # the console is given text: bytes it would show by its code page, each minus as three signs
    closed = OSError(errno.EBADF, "it is closed") if usual is None else None
    raw = _LossyStream(descriptor, closed)
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(usual, "encoding", "utf-8"),
        # An old encoding, as a redirected stream's on Windows, shows a stand-in for what it cannot hold.
        errors=errors,
        line_buffering=descriptor == 2 or getattr(usual, "line_buffering", True),
        write_through=getattr(usual, "write_through", False),
    )
    setattr(sys, name, stream)
    return stream, raw


def _code_after_flush(out: io.TextIOWrapper, raw: _LossyStream, code: int) -> int:
    """Flush standard output; the exit code is neither 0 nor a verdict if some of it was lost."""
    try:
        out.flush()
    except ReaderLeftError:
        return INTERRUPTED
    if isinstance(raw.failure, BrokenPipeError):
        return INTERRUPTED
    if raw.failure is None or not raw.has_lost:
        return code
    _complain(f"suite: standard output cannot be written: {system_message(raw.failure)}")
    return code if code in (USAGE, FAULT, INTERRUPTED) else BROKEN
