"""Passwords: right and wrong, in the same time, and renewed when the parameters change."""

import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from engine.directory import Embedded, Invalid, Unavailable, passwords
from engine.directory.embedded.records import Record
from engine.protocols import scram
from tests.support import costs

PASSWORD = "correct horse"


@pytest.fixture
def directory(tmp_path: Path):
    with Embedded.open(tmp_path / "directory", ["example.org"]) as opened:
        yield opened


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that were really checked, in order."""
    seen: list[str] = []
    matches = passwords.matches

    def recording(stored: str, password: str) -> bool:
        seen.append(stored)
        return matches(stored, password)

    monkeypatch.setattr(passwords, "matches", recording)
    return seen


def stored_password(directory: Embedded, name: str) -> str:
    record = directory._read(directory._record, (name, "example.org"))
    assert record
    return record.password


def store_password(directory: Embedded, name: str, stored: str) -> None:
    directory._write(directory._put, (name, "example.org"), Record(1, 0.0, stored))


def test_only_the_right_password_fits(directory: Embedded) -> None:
    account = directory.add_account("user@example.org", PASSWORD)
    assert directory.verify("User@EXAMPLE.org", PASSWORD) == account
    assert directory.verify("user@example.org", PASSWORD + " ") is None
    assert directory.verify("user@example.org", "") is None
    assert directory.verify("user+tag@example.org", PASSWORD) is None
    assert directory.verify("other@example.org", PASSWORD) is None
    assert PASSWORD not in repr(account)


class Counting:
    """A hasher that counts what it checks."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.hasher = hasher
        self.count = 0

    def verify(self, stored: str, password: bytes) -> bool:
        self.count += 1
        return self.hasher.verify(stored, password)


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting(passwords._HASHER)
    monkeypatch.setattr(passwords, "_HASHER", counting)
    return counting


def test_a_right_password_is_hashed_once_in_a_while(hasher: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = PasswordHasher(1, 8, 1).hash(PASSWORD)
    assert passwords.matches(stored, PASSWORD)
    assert passwords.matches(stored, PASSWORD)
    assert hasher.count == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + passwords.REMEMBERED + 1)
    assert passwords.matches(stored, PASSWORD)
    assert hasher.count == 2


def test_what_is_remembered_is_the_pair(hasher: Counting) -> None:
    stored, other = (PasswordHasher(1, 8, 1).hash(password) for password in (PASSWORD, "another one"))
    assert passwords.matches(stored, PASSWORD)
    assert not passwords.matches(other, PASSWORD)
    assert not passwords.matches(stored, "another one")
    assert not passwords.matches(stored, "another one")
    assert hasher.count == 4, "a wrong one is never remembered"


def test_a_new_password_replaces_the_old(directory: Embedded) -> None:
    directory.add_account("user@example.org", PASSWORD)
    directory.set_password("user@example.org", "another one")
    assert directory.verify("user@example.org", PASSWORD) is None
    assert directory.verify("user@example.org", "another one")


def test_a_password_is_the_same_on_every_keyboard(directory: Embedded) -> None:
    directory.add_account("user@example.org", "pass-w\u00f6rd")
    assert directory.verify("user@example.org", "pass-wo\u0308rd")
    assert directory.verify("user@example.org", "pass-w\udcf6rd") is None


def test_whoever_cannot_log_in_costs_a_hash_of_the_same_parameters(directory: Embedded, checked: list[str]) -> None:
    directory.add_account("user@example.org", PASSWORD)
    directory.add_account("silent@example.org")
    for address in ("user@example.org", "nobody@example.org", "silent@example.org", "user@elsewhere.test", "garbage"):
        assert directory.verify(address, "wrong") is None
    assert len(checked) == 5
    assert checked[0] == stored_password(directory, "user")
    assert checked[1:] == [passwords.DUMMY] * 4
    costs = {stored.rsplit("$", 2)[0] for stored in checked}
    assert len(costs) == 1
    assert {tuple(map(len, stored.split("$"))) for stored in checked} == {tuple(map(len, passwords.DUMMY.split("$")))}


def test_the_dummy_is_no_shortcut_and_no_way_in(directory: Embedded) -> None:
    assert not passwords.outdated(passwords.DUMMY)
    assert passwords.matches(passwords.DUMMY, "") is False
    directory.add_account("silent@example.org")
    assert directory.verify("silent@example.org", "") is None


def test_an_account_without_password_has_no_login_even_with_a_fitting_dummy(
    directory: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "DUMMY", passwords.hashed("guessed"))
    directory.add_account("silent@example.org")
    assert directory.verify("silent@example.org", "guessed") is None
    assert directory.verify("nobody@example.org", "guessed") is None


def test_parameters_are_those_of_rfc_9106(monkeypatch: pytest.MonkeyPatch) -> None:
    costs.restore(monkeypatch)
    for stored in (passwords.hashed("x"), passwords.DUMMY):
        assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_hash_with_old_parameters_is_renewed_at_login(directory: Embedded) -> None:
    directory.add_account("user@example.org")
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    store_password(directory, "user", old)
    assert directory.verify("user@example.org", "wrong") is None
    assert stored_password(directory, "user") == old
    assert directory.verify("user@example.org", PASSWORD)
    assert stored_password(directory, "user") != old
    assert not passwords.outdated(stored_password(directory, "user"))
    assert directory.verify("user@example.org", PASSWORD)


def test_renewal_does_not_undo_a_change(directory: Embedded) -> None:
    directory.add_account("user@example.org")
    store_password(directory, "user", "changed meanwhile")
    directory._write(directory._renew, ("user", "example.org"), "the one that was checked", {"password": "renewed"})
    assert stored_password(directory, "user") == "changed meanwhile"


def test_a_read_only_directory_lets_in_and_leaves_the_hash(tmp_path: Path) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        directory.add_account("user@example.org")
        store_password(directory, "user", old)
    with Embedded.open(tmp_path / "directory", ["example.org"], read_only=True) as directory:
        assert directory.verify("user@example.org", PASSWORD)
        assert stored_password(directory, "user") == old


def test_a_damaged_hash_is_said_to_be_one(directory: Embedded) -> None:
    directory.add_account("user@example.org")
    store_password(directory, "user", "{SHA}abc")
    with pytest.raises(Unavailable, match="damaged"):
        directory.verify("user@example.org", PASSWORD)


@pytest.mark.parametrize("password", ["", "two\nlines", "nul\0", "\x7f", "\udcff"])
def test_passwords_that_no_client_could_send(directory: Embedded, password: str) -> None:
    with pytest.raises(Invalid, match="the password") as caught:
        directory.add_account("user@example.org", password)
    assert not password or password not in str(caught.value)
    assert directory.account("user@example.org") is None


# SCRAM


def key_of(directory: Embedded, address: str, password: str) -> bool:
    """Whether the password is what a login by SCRAM would have to prove."""
    keys = directory.keys(address)
    return scram.key(password, keys.salt, keys.iterations) in keys.keys


def test_the_key_follows_the_password(directory: Embedded) -> None:
    directory.add_account("user@example.org", PASSWORD)
    assert key_of(directory, "User@EXAMPLE.org", PASSWORD)
    directory.set_password("user@example.org", "another one")
    assert not key_of(directory, "user@example.org", PASSWORD)
    assert key_of(directory, "user@example.org", "another one")


@pytest.mark.parametrize("address", ["nobody@example.org", "user@elsewhere.test", "garbage", "silent@example.org"])
def test_who_cannot_log_in_is_asked_like_anybody_else(directory: Embedded, address: str) -> None:
    directory.add_account("user@example.org", PASSWORD)
    directory.add_account("silent@example.org")
    known, unknown = directory.keys("user@example.org"), directory.keys(address)
    assert (len(unknown.salt), unknown.iterations, len(unknown.keys)) == (len(known.salt), known.iterations, 1)
    assert unknown.salt == directory.keys(address.upper()).salt != known.salt
    assert unknown.keys != directory.keys(address).keys


def test_the_salt_of_a_name_stays(tmp_path: Path) -> None:
    salts = []
    for _ in range(2):
        with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
            salts.append(directory.keys("user@example.org").salt)
            if not directory.account("user@example.org"):
                directory.add_account("user@example.org", PASSWORD)
            salts.append(directory.keys("user@example.org").salt)
    assert len(set(salts)) == 1


def test_an_older_account_gets_its_key_when_its_password_is_checked(directory: Embedded) -> None:
    directory.add_account("user@example.org")
    store_password(directory, "user", passwords.hashed(PASSWORD))
    assert not key_of(directory, "user@example.org", PASSWORD)
    assert directory.verify("user@example.org", "wrong") is None
    assert not key_of(directory, "user@example.org", PASSWORD)
    assert directory.verify("user@example.org", PASSWORD)
    assert key_of(directory, "user@example.org", PASSWORD)


def test_a_key_of_another_count_is_made_anew(directory: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.add_account("user@example.org", PASSWORD)
    monkeypatch.setattr(scram, "ITERATIONS", 5000)
    assert not key_of(directory, "user@example.org", PASSWORD)
    assert directory.keys("user@example.org").iterations == directory.keys("nobody@example.org").iterations == 5000
    assert directory.verify("user@example.org", PASSWORD)
    assert key_of(directory, "user@example.org", PASSWORD)
