"""What commands leave for the running server, and what it says of a trial."""

import json
from pathlib import Path

import pytest

from engine.runtime.state import Order, State, Trial


def test_an_order_is_taken_once_and_a_bare_signal_is_a_reload(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.give(Order("ann", "reload", 5.0))
    assert (tmp_path / "order.json").stat().st_mode & 0o777 == 0o600
    assert state.taken() == Order("ann", "reload", 5.0)
    assert state.taken() == Order("a signal", "reload", None)
    assert list(tmp_path.iterdir()) == []


def test_the_last_of_two_orders_counts(tmp_path: Path) -> None:
    for what in ("promote", "abort"):
        State(tmp_path).give(Order("ann", what))  # type: ignore[arg-type]
    assert State(tmp_path).taken().what == "abort"


@pytest.mark.parametrize("octets", [b"", b"{", b'{"what": "dance"}', b'{"share": "5"}', b"[]"])
def test_an_order_that_cannot_be_read_is_said(tmp_path: Path, octets: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "order.json").write_bytes(octets)
    assert State(tmp_path).taken() == Order()
    assert json.loads(capfd.readouterr().err)["event"] == "order-unreadable"
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Root gives orders in a folder of another user."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "order.new").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        State(tmp_path).give(Order("root"))
    assert target.read_text() == "precious"


def test_a_trial_is_told_to_commands_and_no_answer_to_one(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.take()
    state.write(1, 3, "")
    running = state.running()
    assert running is not None
    trial = Trial(4, 5.0, 1000.0, {"accepted": 1}, {"accepted": 19})
    state.trial(trial)
    now = state.running()
    assert now is not None
    assert (now.trial, now.revision, now.change) == (trial, 3, running.change)
    state.trial(None)
    assert state.running() == running
    state.release()
    assert State(tmp_path).running() is None
