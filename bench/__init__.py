"""The benchmarks: Postroad beside other mail servers, all under the same load, on loopback."""


class Failed(Exception):
    """A run that cannot be counted; the text says why."""
