"""Workloads of another package, reached through their `_target_` alone: one that behaves, and every way not to."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import torch
from misbehaving_plan import Plan

from suite.measure.workload import IncorrectError, UnsupportedError, announce
from suite.records.record import Reading


class Behaving:
    def __init__(self, settings):
        self.plan, self.settings, self.steps = Plan(settings), settings, 0

    def prepare(self):
        self.values = torch.ones(1000)

    def constants(self):
        return [Reading(step=0, span="case", metric="flops", value=10.0)]

    def facts(self):
        return {"backend": "none"}

    def warnings(self, operators):
        return []

    def check(self):
        return []

    def step(self, meter):
        self.steps += 1
        with meter.span("work"):
            self.work()

    def parts(self):
        return {"work": self.work}

    def work(self):
        self.values.sum()


class Telling(Behaving):
    """Says in each launch in which process it runs and which seed it was given."""

    def step(self, meter):
        super().step(meter)
        if meter.launch is not None:
            meter.note("work", pid=os.getpid(), seed=self.settings["seed"] % 1009)


class Announcing(Behaving):
    def prepare(self):
        super().prepare()
        announce("compiling for a while")


class KilledLater(Behaving):
    """In every launch but the first."""

    def work(self):
        if self.settings["seed"] != 0:
            os.kill(os.getpid(), signal.SIGKILL)


class InterruptedLater(Behaving):
    """Somebody presses Ctrl-C in the second launch."""

    def work(self):
        if self.settings["seed"] != 0:
            os.kill(multiprocessing.parent_process().pid, signal.SIGINT)
            time.sleep(60)


class Killed(Behaving):
    def work(self):
        if self.steps == 3:
            os.kill(os.getpid(), signal.SIGKILL)


class Segfaulting(Behaving):
    def work(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class Exiting(Behaving):
    def work(self):
        os._exit(7)


class Hungry(Behaving):
    def prepare(self):
        self.held = [torch.empty(1 << 28) for _ in range(1 << 12)]  # 4 TiB, a GiB at a time


class Raising(Behaving):
    def work(self):
        raise RuntimeError(f"cannot read /home/alice/weights.pt with {os.environ.get('PLANTED_TOKEN', '')}")


class RaisingInTorch(Behaving):
    def work(self):
        torch.nn.Linear(3, 2)(self.values)


class Unsupported(Behaving):
    def prepare(self):
        raise UnsupportedError("this machine has no flux capacitor")


class Wrong(Behaving):
    def check(self):
        raise IncorrectError("the sum is off", [Reading(step=0, span="work", metric="relative_error", value=0.5)])


class WrongInALaterLaunch(Wrong):
    def check(self):
        if self.settings["seed"] != 0:
            super().check()
        return []


class WrongLater(Wrong):
    def check(self):
        if self.steps:
            super().check()
        return []


class Waiting(Behaving):
    """Takes a known time and next to no processor, so that many can run beside each other."""

    def work(self):
        time.sleep(self.settings["workload"]["wait_s"])


class Slow(Behaving):
    def work(self):
        time.sleep(60)


class SlowButMha(Slow):
    """MHA ends at once, so that others have something to be compared with."""

    def work(self):
        if self.settings["attention"]["kv_heads"] != "all":
            super().work()


class Meeting(Behaving):
    """Waits at a place for the others of its party: only cases that run side by side come to an end."""

    def prepare(self):
        super().prepare()
        place, party = Path(self.settings["workload"]["place"]), self.settings["workload"]["party"]
        self.were_there = sum(path.name == "record.json" for path in place.rglob("*"))
        (place / f"here-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(list(place.glob("here-*"))) < party:
            assert time.monotonic() < deadline, "nobody came"
            time.sleep(0.01)

    def facts(self):
        return {**super().facts(), "records_before": self.were_there}


class Exhausting(Behaving):
    def prepare(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB")


class KilledInRealTime(Behaving):
    def work(self):
        os.kill(os.getpid(), 40)
