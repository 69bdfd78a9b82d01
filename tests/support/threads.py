"""Several threads that do the same."""

import threading
from collections.abc import Callable

THREADS = 8
TIMES = 20


def all_at_once(look: Callable[[], object]) -> list[object]:
    """What THREADS threads found, each TIMES times. A thread that fails leaves its part out."""
    found: list[object] = []

    def run() -> None:
        for _ in range(TIMES):
            found.append(look())

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
