"""Statistics of many runs, and comparisons of some.

Nothing here knows a command line or a page: both show what these functions return.
"""

from ..model.percentiles import PercentileBuilder, Percentiles
from .compare import Comparison, StepPair, compare, differences, tabulate
from .differences import Difference, word_diff
from .prices import CostEstimate, PriceTable, RepriceReport, areprice, reprice
from .run_metrics import Delta, RunRow, RunTable
from .run_totals import RunTotals, totals_of
from .step_tree import depths
from .store_statistics import Collector, Group, Statistics, collect, collect_async

__all__ = [
    "Collector",
    "Comparison",
    "CostEstimate",
    "Delta",
    "Difference",
    "Group",
    "PercentileBuilder",
    "Percentiles",
    "PriceTable",
    "RepriceReport",
    "RunRow",
    "RunTable",
    "RunTotals",
    "Statistics",
    "StepPair",
    "areprice",
    "collect",
    "collect_async",
    "compare",
    "depths",
    "differences",
    "reprice",
    "tabulate",
    "totals_of",
    "word_diff",
]
