import signal
import sys
from contextlib import contextmanager
from pathlib import Path

FOREIGN = Path(__file__).parent / "foreign"
# What an installed package would be: workers inherit the path.
sys.path.insert(0, str(FOREIGN))


@contextmanager
def heard(*numbers):
    """Give these signals their defaults within, here and for processes that start: the tests may run behind nohup."""
    usual = {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, usual.get(number, signal.SIG_DFL)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
