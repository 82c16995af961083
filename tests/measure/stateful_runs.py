"""A stateful run without a process of its own, which may die on its way."""

from suite.measure.stateful import run_stateful


def in_process(settings, folder, *, until=None):
    """Its outcome, its readings and its facts. `until`: dies after so many sends of readings, as a kill would end it;
    there is then no outcome."""
    readings, facts = [], {}

    def send(**message):
        nonlocal until
        readings.extend(message.get("readings", ()))
        facts.update(message.get("facts", {}))
        if until is not None and "readings" in message:
            until -= 1
            if until == 0:
                raise KeyboardInterrupt

    asked = {"settings": settings, "shared": folder, "run_key": "a run", "no_energy": "off"}
    try:
        outcome = run_stateful(send, **asked, checkpoint=folder / "checkpoint.pt")
    except KeyboardInterrupt:
        outcome = None
    return outcome, readings, facts
