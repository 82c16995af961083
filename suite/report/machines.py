"""Until every chapter reads model/run.py: what a record ran on."""

from suite.report.model.run import machine_id as machine_id
from suite.report.model.run import machine_name as machine_name
