import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def this_suite():
    """Workers that start here import the suite that lies here, whichever is installed."""
    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
        yield
