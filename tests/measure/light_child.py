"""A child in the place of suite.measure.child's, without torch: it starts in 0.2 s."""

import os
import time
from contextlib import suppress
from pathlib import Path

from suite.records.record import Status

HANGS_S = 20.0


def run(connection):
    """Answer tasks with the numbers of all processes that have loaded by then, files in the folder LOADED.

    MANNER: what becomes of the loading.
    """
    folder, manner = Path(os.environ["LOADED"]), os.environ["MANNER"]
    if manner == "slowly":
        time.sleep(0.2)
    (folder / str(os.getpid())).touch()
    if manner == "hangs":
        time.sleep(HANGS_S)
    if manner == "dies":
        os._exit(7)
    connection.send(None)
    with suppress(EOFError):
        *_, persistent, _ = connection.recv()
        while True:
            connection.send({"pid": os.getpid(), "loaded": {int(path.name) for path in folder.iterdir()}})
            connection.send({"outcome": (Status.OK, None)})
            if not persistent:
                return
            connection.recv()
