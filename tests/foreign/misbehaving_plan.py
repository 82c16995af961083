"""The plan of the workloads in misbehaving.py: in a module of its own, since the parent loads it and holds no torch."""

from suite.console.summary import Summary


class Plan:
    device = "cpu"
    dtype = "float32"
    threads = 1
    refusal = None

    def __init__(self, settings):
        if settings["seq_len"] == 13:
            raise ValueError("seq_len must not be 13; got 13")

    def facts(self):
        return {}

    def constants(self):
        return {"work": {"flops": 10.0, "traffic_bytes": 10.0}}

    def least_bytes(self):
        return 0.0

    def predicted_step_s(self, measured):
        return 1e-6


def summary(record):
    return Summary(lines=[("sum", f"of {record.case.axes['seq_len']}")], brief="summed up")
