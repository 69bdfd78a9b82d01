"""Fixtures for every test."""

import pytest
import zmq
from hypothesis import HealthCheck, settings

# A busy machine fails no test.
settings.register_profile("postroad", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("postroad")


@pytest.fixture
def context():
    """A ZeroMQ context that is gone, with all its sockets, when the test ends."""
    found = zmq.Context()
    yield found
    found.destroy(linger=0)
