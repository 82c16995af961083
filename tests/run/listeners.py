"""A listener for tests: it keeps the name of each call and the first thing that it was told."""


class Told:
    def __init__(self):
        self.calls = []

    def recorded(self, stored, *, by_another=False):
        self.calls.append(("by another" if by_another else "recorded", [one.record.case.id for one in stored]))

    def elsewhere(self, case):
        self.calls.append(("elsewhere", case.id))

    def started(self, case):
        self.calls.append(("started", case.id))

    def finished(self, record, folder):
        self.calls.append(("finished", record.case.id))

    def notice(self, text):
        self.calls.append(("notice", text))
