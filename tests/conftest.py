"""Fixtures for every test."""

import pytest
import zmq


@pytest.fixture
def context():
    """A ZeroMQ context that is gone, with all its sockets, when the test ends."""
    found = zmq.Context()
    yield found
    found.destroy(linger=0)
