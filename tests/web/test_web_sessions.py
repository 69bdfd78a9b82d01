"""The store of sessions: how long they last, who has which, and what is left of them."""

import pytest

from engine.config import Web
from engine.units import Duration
from engine.web.pace import Pace
from engine.web.sessions.store import MOST_OF_ACCOUNT, Sessions

SETTINGS = Web(idle=Duration("1h"), lifetime=Duration("1d"))


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(tmp_path, clock):
    with Sessions.open(tmp_path, SETTINGS, clock) as found:
        yield found


def begun(sessions, account=1):
    return sessions.begin(account, "ann@example.org", peer="192.0.2.1", agent="a browser", how="password")


def test_it_is_found_by_its_token_alone_and_the_token_is_not_kept(sessions, tmp_path):
    token = begun(sessions)
    assert sessions.find(token).address == "ann@example.org"
    assert sessions.find(token[:-1]) is None
    assert sessions.find("") is None
    assert sessions.find("\udc80") is None
    assert token.encode() not in (tmp_path / "data.mdb").read_bytes()


def test_it_survives_a_restart(sessions, tmp_path, clock):
    token = begun(sessions)
    sessions.close()
    with Sessions.open(tmp_path, SETTINGS, clock) as again:
        assert again.find(token)


def test_it_ends_when_nobody_uses_it_and_in_any_case_some_day(sessions, clock):
    token = begun(sessions)
    for _ in range(47):
        clock.now += 1800
        sessions.see(sessions.find(token))
    assert sessions.find(token)
    clock.now += 3601
    assert sessions.find(token) is None
    used = begun(sessions)
    for _ in range(48):
        clock.now += 1790
        sessions.see(sessions.find(used))
    clock.now += 1000
    assert sessions.find(used) is None


def test_that_it_is_used_is_not_written_down_each_time(sessions, clock):
    token = begun(sessions)
    before = sessions.changes
    for _ in range(50):
        clock.now += 1
        sessions.see(sessions.find(token))
    assert sessions.changes == before
    clock.now += 20
    sessions.see(sessions.find(token))
    assert sessions.changes == before + 1


def test_one_can_end_one_and_all_others(sessions):
    tokens = [begun(sessions) for _ in range(4)]
    other = begun(sessions, account=2)
    kept = sessions.find(tokens[0])
    sessions.end(sessions.find(tokens[1]).id)
    assert sessions.find(tokens[1]) is None
    assert {one.id for one in sessions.of(1)} == {sessions.find(token).id for token in (tokens[0], *tokens[2:])}
    assert sessions.end_others(1, kept.id) == 2
    assert [one.id for one in sessions.of(1)] == [kept.id]
    assert sessions.find(other)


def test_one_account_has_so_many(sessions, clock):
    first = begun(sessions)
    for _ in range(MOST_OF_ACCOUNT):
        clock.now += 1
        begun(sessions)
    assert len(sessions.of(1)) == MOST_OF_ACCOUNT
    assert sessions.find(first) is None


def test_what_is_over_is_forgotten(sessions, clock):
    for _ in range(10):
        begun(sessions)
    clock.now += 2 * 86400
    begun(sessions)
    with sessions._environment.begin() as txn:
        assert txn.stat(sessions._sessions)["entries"] == 1
        assert txn.stat(sessions._accounts)["entries"] == 1


def test_a_step_is_taken_once_in_time_and_as_what_it_was_begun(sessions, clock):
    token = sessions.await_step("code", 300, account=1, address="ann@example.org", state=b"/")
    assert sessions.take_step(token, "passkey") is None
    assert sessions.take_step(token, "code").state == b"/"
    assert sessions.take_step(token, "code") is None
    late = sessions.await_step("code", 300)
    clock.now += 301
    assert sessions.take_step(late, "code") is None


def test_strangers_have_a_pace(clock):
    pace = Pace(3, 60, clock)
    assert [pace.allows("192.0.2.1") for _ in range(5)] == [True, True, True, False, False]
    assert pace.allows("192.0.2.2")
    clock.now += 60
    assert pace.allows("192.0.2.1")
    for number in range(20_000):
        pace.allows(str(number))
    assert len(pace._known) <= 10_000


def test_a_step_of_a_known_name_is_taken_once(sessions, clock):
    sessions.name_step("1 token", "sending", 60)
    assert sessions.take_step("1 token", "other") is None
    assert sessions.take_step("1 token", "sending").kind == "sending"
    assert sessions.take_step("1 token", "sending") is None
    sessions.name_step("1 token", "sending", 60)
    clock.now += 61
    assert sessions.take_step("1 token", "sending") is None


def test_a_secret_is_made_once_and_all_know_it(sessions, tmp_path):
    found = sessions.secret("pictures")
    assert len(found) == 32
    assert sessions.secret("pictures") == found != sessions.secret("other")
    sessions.close()
    with Sessions.open(tmp_path, SETTINGS) as again:
        assert again.secret("pictures") == found


def test_a_session_is_found_by_its_id_as_long_as_it_lasts(sessions):
    token = begun(sessions)
    identity = sessions.find(token).id
    assert sessions.of_id(identity) == sessions.find(token)
    sessions.end(identity)
    assert sessions.of_id(identity) is None
