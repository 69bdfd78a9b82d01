"""Quantiles out of the buckets of a histogram."""

import math
from collections.abc import Iterable
from itertools import pairwise


def quantile(buckets: Iterable[tuple[float, float]], share: float) -> float | None:
    """The value that so large a share is at most, between the bounds of its bucket as if all there were spread evenly.

    ``buckets``: upper bounds, each with the number of all values up to it, as Prometheus has them. None without values;
    what is above the last finite bound is told as that.
    """
    ordered = sorted(buckets)
    whole = ordered[-1][1] if ordered else 0
    if whole <= 0:
        return None
    wanted = share * whole
    for (lower, below), (upper, heap) in pairwise([(0.0, 0.0), *ordered]):
        if heap >= wanted and heap > below:
            return lower if math.isinf(upper) else lower + (upper - lower) * max(wanted - below, 0) / (heap - below)
    return None
