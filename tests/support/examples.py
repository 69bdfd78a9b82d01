"""How many examples hypothesis tries: some in every run of the tests, and with `make examples` many times as many."""

import os

from hypothesis import settings

TIMES = int(os.environ.get("EXAMPLES", "1"))


def examples(count: int) -> settings:
    """So many of the test that this decorates, in place of the usual number."""
    return settings(max_examples=count * TIMES)
