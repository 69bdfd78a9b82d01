"""`python -m bench` is the command `postroad bench`."""

from bench.command import bench

bench(prog_name="postroad bench")
