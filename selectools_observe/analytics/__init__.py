"""Statistics of many runs, and comparisons of two.

Nothing here knows a command line or a page: both show what these functions return.
"""

from ..model.percentiles import PercentileBuilder, Percentiles
from .compare import Comparison, StepPair, compare
from .prices import CostEstimate, PriceTable, RepriceReport, areprice, reprice
from .statistics import Collector, Group, Statistics, collect, collect_async
from .step_tree import depths
from .totals import RunTotals, totals_of

__all__ = [
    "Collector",
    "Comparison",
    "CostEstimate",
    "Group",
    "PercentileBuilder",
    "Percentiles",
    "PriceTable",
    "RepriceReport",
    "RunTotals",
    "Statistics",
    "StepPair",
    "areprice",
    "collect",
    "collect_async",
    "compare",
    "depths",
    "reprice",
    "totals_of",
]
