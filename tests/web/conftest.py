"""What is told by the parts of the site that a test drives in its own process."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.observe.events import event


@pytest.fixture
def told() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events of this process, in place of the log."""
    events: list[tuple[str, dict[str, Any]]] = []
    event.instead = lambda name, values: events.append((name, values))
    yield events
    event.instead = None
