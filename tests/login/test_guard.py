"""Who is kept out for guessing, for how long, and who is not."""

import dataclasses
import ipaddress
from pathlib import Path

import pytest

from engine.login import Guard
from engine.login import guard as module
from engine.login.guard import Ban, Standing
from tests.support.post import Clock

HOUR = 3600.0
ANN, HOME, FAR = 1, "192.0.2.7", "203.0.113.9"
FREE = Standing()


def guess(
    guard: Guard, peer: str = FAR, login: str = "ann@example.org", account: int | None = ANN, *, times: int = 1
) -> int:
    """Wrong guesses; how many the network has made now."""
    counts = [guard.failed(peer, login, account)[0] for _ in range(times)]
    return counts[-1]


def test_a_network_is_kept_out_until_its_time_is_over(guard: Guard, clock: Clock) -> None:
    assert guess(guard, times=2) == 2
    assert guard.standing(FAR, "ann@example.org", ANN) == FREE
    assert guard.failed(FAR, "bob@example.org", None) == (3, [Ban("network", "203.0.113.9/32", 3, clock.now + HOUR)])
    assert guard.standing(FAR, "anybody@example.org", None).network
    assert guard.standing(HOME, "ann@example.org", ANN) == FREE
    clock.now += HOUR
    assert guard.standing(FAR, "ann@example.org", ANN) == FREE
    assert guess(guard) == 1


def test_guesses_are_forgotten_after_the_window(guard: Guard, clock: Clock) -> None:
    guess(guard, times=2)
    clock.now += HOUR
    assert guess(guard) == 1


def test_an_account_is_kept_from_those_who_never_were_it(guard: Guard, clock: Clock) -> None:
    guard.succeeded(HOME, ANN)
    for number in range(5):
        guess(guard, f"198.51.100.{number}", "Ann@Example.org")
    assert guard.bans() == [Ban("account", "ann@example.org", 5, clock.now + HOUR)]
    assert guard.standing(FAR, "ANN@example.org", ANN) == Standing(account=True)
    assert guard.standing(HOME, "ann@example.org", ANN) == FREE
    assert guard.standing("192.0.2.200", "ann@example.org", ANN) == FREE  # the same provider
    assert guard.standing(FAR, "bob@example.org", None) == FREE


def test_a_name_that_nobody_has_is_counted_just_so(guard: Guard) -> None:
    for number in range(5):
        guess(guard, f"198.51.100.{number}", "nobody", None)
    assert guard.standing(FAR, "nobody", None) == Standing(account=True)


def test_mistakes_at_home_keep_out_nobody_elsewhere(guard: Guard) -> None:
    guard.succeeded(HOME, ANN)
    for number in range(10):
        guess(guard, f"192.0.2.{number}")
    assert guard.bans() == []


def test_an_account_that_was_long_not_there_is_a_stranger_again(guard: Guard, clock: Clock) -> None:
    guard.succeeded(HOME, ANN)
    clock.now += module.KNOWN_FOR
    for number in range(5):
        guess(guard, f"198.51.100.{number}")
    assert guard.standing(HOME, "ann@example.org", ANN) == Standing(account=True)


def test_to_be_known_from_there_lasts_from_the_last_login(guard: Guard, clock: Clock) -> None:
    for _ in range(3):
        guard.succeeded(HOME, ANN)
        clock.now += module.KNOWN_FOR / 2
    for number in range(5):
        guess(guard, f"198.51.100.{number}")
    assert guard.standing(HOME, "ann@example.org", ANN) == FREE


def test_a_login_takes_nothing_back(guard: Guard) -> None:
    """Else whoever has an account could guess at all others without end."""
    guess(guard, times=2)
    guard.succeeded(FAR, ANN)
    assert guess(guard) == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_what_one_network_is(guard: Guard, one: str, other: str, same: bool) -> None:
    guess(guard, one, times=3)
    assert guard.standing(other, "x", None).network is same


def test_who_is_allowed_is_never_counted(guard: Guard) -> None:
    guess(guard, times=3)
    guard.settings = dataclasses.replace(guard.settings, allow_networks=(ipaddress.ip_network("203.0.113.0/24"),))
    assert guard.standing(FAR, "ann@example.org", ANN) == Standing(counts=False)
    assert guard.standing("", "ann@example.org", ANN) == FREE


def test_all_of_it_survives_and_is_shared(tmp_path: Path, guard: Guard, clock: Clock) -> None:
    guess(guard, times=3)
    guard.succeeded(HOME, ANN)
    guard.close()
    with Guard.open(tmp_path / "logins", guard.settings, clock) as again:
        assert [ban.name for ban in again.bans()] == ["203.0.113.9/32"]
        for number in range(5):
            guess(again, f"198.51.100.{number}")
        assert again.standing(HOME, "ann@example.org", ANN) == FREE


@pytest.mark.parametrize("who", ["203.0.113.9", "203.0.113.0/24", "203.0.113.9/32"])
def test_a_network_is_let_in_again(guard: Guard, who: str) -> None:
    guess(guard, times=3)
    guess(guard, HOME, "bob@example.org", None, times=3)
    assert [ban.name for ban in guard.lift(who)] == ["203.0.113.9/32"]
    assert [ban.name for ban in guard.bans()] == ["192.0.2.7/32"]
    assert guess(guard) == 1


@pytest.mark.parametrize("who", ["2001:db8::1", "0.0.0.0/1", "bob@example.org", "garbage"])
def test_nobody_is_let_in_who_is_not_kept_out(guard: Guard, who: str) -> None:
    guess(guard, times=3)
    assert guard.lift(who) == []
    assert len(guard.bans()) == 1


def test_an_account_is_let_in_again(guard: Guard) -> None:
    for number in range(5):
        guess(guard, f"198.51.100.{number}")
    assert [ban.name for ban in guard.lift("Ann@example.org")] == ["ann@example.org"]
    assert guard.standing(FAR, "ann@example.org", ANN) == FREE


def test_names_that_attackers_make_up_cost_no_disk(guard: Guard, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    guess(guard, times=3)
    for number in range(100):
        guess(guard, f"2001:db8:{number:x}::1", f"name{number}", None)
    assert guard.standing(FAR, "x", None).network, "counts go before bans"
    with guard._environment.begin() as txn:
        assert txn.stat(guard._guesses)["entries"] <= 21
    for number in range(100):
        guess(guard, f"2001:db8:{number:x}::1", times=3)
    with guard._environment.begin() as txn:
        assert txn.stat(guard._guesses)["entries"] <= 21


def test_what_is_over_goes(guard: Guard, clock: Clock) -> None:
    guess(guard, times=3)
    guard.succeeded(HOME, ANN)
    clock.now += module.KNOWN_FOR + HOUR
    guess(guard, "198.51.100.1", "bob", None)
    with guard._environment.begin() as txn:
        assert txn.stat(guard._guesses)["entries"] == 2
        assert txn.stat(guard._known)["entries"] == 0


def test_a_name_longer_than_any_key(guard: Guard) -> None:
    for number in range(5):
        guess(guard, f"198.51.100.{number}", "\udcff" * 5000, None)
    (ban,) = guard.bans()
    assert guard.standing(FAR, "\udcff" * 5000, None).account
    assert len(ban.name) == 64


def test_who_is_kept_out_by_hand(guard: Guard, clock: Clock) -> None:
    assert guard.ban("203.0.113.0/30", HOUR / 2) == [
        Ban("network", f"203.0.113.{number}/32", 0, clock.now + HOUR / 2) for number in range(4)
    ]
    assert guard.standing("203.0.113.3", "ann@example.org", ANN).network
    assert not guard.standing("203.0.113.4", "ann@example.org", ANN).network
    assert guard.ban("2001:db8::7", HOUR) == [Ban("network", "2001:db8::/64", 0, clock.now + HOUR)]
    guess(guard, HOME)
    assert guard.ban(HOME, HOUR)[0].guesses == 1
    guard.ban("Ann@Example.org", HOUR)
    assert guard.standing("198.51.100.1", "ann@example.org", ANN).account
    assert len(guard.lift("203.0.113.0/24")) == 4
    clock.now += HOUR
    assert guard.bans() == []


@pytest.mark.parametrize("who", ["203.0.0.0/16", "2001:db8::/32", "nobody", ""])
def test_what_cannot_be_kept_out_by_hand(guard: Guard, who: str) -> None:
    with pytest.raises(ValueError):
        guard.ban(who, HOUR)
    assert guard.bans() == []
