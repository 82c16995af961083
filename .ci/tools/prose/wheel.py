"""The size of the wheel, which no record holds: it is built for it."""

import tempfile
from pathlib import Path

from tools.prose.readers import ROOT


def size():
    """Return the size of this checkout's wheel, in steps of 0.1 MB, so that few changes change it."""
    from hatchling.builders.wheel import WheelBuilder  # here, since it comes with the development tools alone

    with tempfile.TemporaryDirectory() as folder:
        (wheel,) = WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
        return f"{Path(wheel).stat().st_size / 1e6:.1f} MB"
