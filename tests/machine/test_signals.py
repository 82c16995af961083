"""Ctrl-C and polite kills end a case at once, but wait while its record is written."""

import os
import signal
import sys

import pytest

from suite.machine.signals import POLITE, Interruptions
from tests.conftest import heard

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals between processes")


@pytest.fixture(autouse=True)
def all_are_heard():
    with heard(*POLITE):
        yield


@pytest.mark.parametrize("number", POLITE)
def test_each_of_the_signals_interrupts(number):
    with Interruptions(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_one_that_comes_while_it_is_held_is_raised_at_the_end():
    reached = []

    def write(interruptions):
        with interruptions.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the record is written")
        reached.append("never")

    with Interruptions() as interruptions, pytest.raises(KeyboardInterrupt):
        write(interruptions)
    assert reached == ["the record is written"]


def test_handlers_are_restored_and_an_ignored_signal_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruptions():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)
