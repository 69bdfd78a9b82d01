"""`postroad bench`: the benchmarks, which are a package of their own."""

from bench.command import bench

__all__ = ["bench"]
