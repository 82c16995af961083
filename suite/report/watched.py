"""Until the last chapter takes these from model/run.py."""

from suite.report.model.run import cut as cut
from suite.report.model.run import mapping as mapping
from suite.report.model.run import share as share
