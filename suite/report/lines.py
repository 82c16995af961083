"""Until every chapter draws by plot/: heights of figures."""

from suite.report.attention.lines import HEIGHT_PX as HEIGHT_PX
from suite.report.attention.lines import LEGEND_ROW_PX as LEGEND_ROW_PX
