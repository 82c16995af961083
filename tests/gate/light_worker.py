"""The worker's own pipe and loop with cases that need no torch: `cases.json` of the tree tells what each does.

Of a case: its `workload`, `seconds` a sample, `noise` of it, `flops`, its `code` by its settings and what `ran` once it
is built, and under `build` or `sample` a way to end.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from suite.gate.workers import case_worker as worker
from suite.gate.workers import worker_loop as loop

CODE = {"light": "light.py"}


class Worker:
    def hello(self, tree):
        told = json.loads((Path(tree) / "cases.json").read_text())
        self.expanded = told.get("expanded", ...)
        self.cases, self.protocol = told["cases"], told.get("protocol", loop.PROTOCOL)
        print("a package that greets whoever imports it")
        os.write(1, b'{"protocol": "none of this is an answer"}\n')
        os.system("echo and a child of its own")
        if "refuses" in told:
            raise ImportError(told["refuses"])
        clocks = [type(clock).__name__ for clock in loop.CLOCKS_BOUND]
        return {"protocol": self.protocol, "clocks": clocks, "now": type(time.thread_time).__name__}

    def expand(self, arguments):
        if self.expanded is not ...:
            return {"cases": self.expanded}
        asked = [one.partition("=")[2].strip("'") for one in arguments if one.startswith("name=")]
        if unknown := set(asked) - self.cases.keys():
            raise ValueError(f"there is no case {unknown}")
        return {
            "cases": [
                {
                    "id": f"workload=light name={name}",
                    "workload": case.get("workload", "light"),
                    "axes": {"name": name},
                    "extras": {},
                    "settings": {"workload": {"name": "light"}, "name": name, "size": case.get("size", 1)},
                    "code": case.get("code", CODE),
                }
                for name, case in self.cases.items()
                if name in asked or not asked
            ]
        }

    def build(self, id, settings, examine, slowed):
        case = self.cases[settings["name"]]
        if "writes" in case:
            Path("..", "older", case["writes"]).write_text("another")
        end(case.get("build"))
        exact = {
            "readings": {"case": {"flops": case.get("flops", 1.0)}},
            "operators": {},
            "parts": {},
            "coverage": {},
        }
        spans = case.get("spans", ["work"])
        ran = case.get("ran", case.get("code", CODE))
        return {"spans": spans, "clock": "thread_cpu", "code": ran, **exact}

    def sample(self, id, span):
        case = self.cases[id.partition("name=")[2]]
        end(case.get("sample"))
        taken_s = case.get("seconds", 1e-3) * (1 + random.uniform(0, case.get("noise", 0.001)))
        until_s = time.thread_time() + taken_s
        while time.thread_time() < until_s:  # the judge's own clocks are asked, too
            pass
        clocks = dict.fromkeys(loop.CLOCKS, taken_s)
        sample = {**clocks, "involuntary_switches": 0, "calls": 1} | case.get("answer", {})
        return {name: value for name, value in sample.items() if name != case.get("lacks")}

    def recheck(self, id, seed, calls):
        return {"parts": {}}


def end(how):
    if how == "raise":
        raise RuntimeError("out of order")
    if how == "refuse":
        raise loop.RefusedError("there is no flux capacitor")
    if how == "exit":
        os._exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while how == "hang":
        pass


if __name__ == "__main__":
    worker.RevisionWorker = Worker
    worker.main(sys.argv[1])
