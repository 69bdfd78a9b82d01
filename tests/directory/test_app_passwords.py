"""App passwords: made once, good for their services alone, and gone when they are revoked."""

import re
from pathlib import Path

import pytest

from engine.directory import AlreadyThere, Embedded, Invalid, NotFound, passwords
from engine.protocols import scram

ANN, PASSWORD = "ann@example.org", "correct horse"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scram, "ITERATIONS", 2)
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        directory.add_account(ANN)
        yield directory


def proves(directory: Embedded, password: str, service: str) -> bool:
    """Whether a login by SCRAM would succeed."""
    keys = directory.keys(ANN, service)
    key = scram.key(password, keys.salt, keys.iterations)
    return key in keys.keys and directory.proven(ANN, key, service) is not None


def test_it_is_good_for_its_services(directory: Embedded) -> None:
    password = directory.add_app_password(ANN, "phone", ["pop3", "smtp"])
    login = directory.verify_app_password("Ann@example.org", password, "smtp")
    assert login
    assert login.account.address == ANN
    assert login.app_password == directory.app_passwords(ANN)[0]
    assert login.app_password.name == "phone"
    assert directory.verify_app_password(ANN, password, "imap") is None
    assert directory.verify_app_password(ANN, password + "x", "smtp") is None
    assert directory.verify_app_password("bob@example.org", password, "smtp") is None
    assert [proves(directory, password, service) for service in ("smtp", "imap", "pop3")] == [True, False, True]


def test_it_is_not_the_password_of_the_account(directory: Embedded) -> None:
    directory.set_password(ANN, PASSWORD)
    password = directory.add_app_password(ANN, "phone")
    assert directory.verify(ANN, password) is None
    assert directory.verify(ANN, PASSWORD)
    assert proves(directory, password, "smtp")
    assert proves(directory, PASSWORD, "smtp")
    assert len(directory.keys(ANN, "smtp", main=False).keys) == 1
    assert not proves(directory, password, "")


def test_what_was_proven_for_one_service_opens_no_other(directory: Embedded) -> None:
    directory.set_password(ANN, PASSWORD)
    password = directory.add_app_password(ANN, "phone", ["smtp"])
    keys = directory.keys(ANN, "smtp")
    app, own = (scram.key(one, keys.salt, keys.iterations) for one in (password, PASSWORD))
    assert directory.proven(ANN, app, "smtp")
    assert directory.proven(ANN, app, "pop3") is None
    assert directory.proven(ANN, own, "pop3")
    assert directory.proven(ANN, own, "pop3", main=False) is None


def test_it_lasts_when_the_password_of_the_account_changes(directory: Embedded) -> None:
    password = directory.add_app_password(ANN, "phone")
    directory.set_password(ANN, "another one")
    directory.set_admin(ANN, True)
    assert directory.verify_app_password(ANN, password, "smtp")
    assert proves(directory, password, "smtp")


def test_a_revoked_one_is_gone_at_once_and_the_others_stay(directory: Embedded) -> None:
    gone, kept = directory.add_app_password(ANN, "phone"), directory.add_app_password(ANN, "laptop")
    keys = directory.keys(ANN, "smtp")
    key = scram.key(gone, keys.salt, keys.iterations)
    assert directory.revoke_app_password(ANN, "phone").name == "phone"
    assert directory.proven(ANN, key, "smtp") is None, "even in the midst of a login"
    assert directory.verify_app_password(ANN, gone, "smtp") is None
    assert directory.verify_app_password(ANN, kept, "smtp")
    with pytest.raises(NotFound):
        directory.revoke_app_password(ANN, "phone")


def test_nobody_can_guess_it(directory: Embedded) -> None:
    made = [passwords.generated() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(re.fullmatch("[a-z2-7]{7}(-[a-z2-7]{7}){3}", one) for one in made)
    assert 28 * 5 >= 128  # bits


def test_no_password_is_stored(directory: Embedded, tmp_path: Path) -> None:
    password = directory.add_app_password(ANN, "phone")
    assert password.encode() not in (tmp_path / "directory" / "data.mdb").read_bytes()


@pytest.mark.parametrize(
    ("name", "services"),
    [("", ["smtp"]), (" ", ["smtp"]), ("a\nb", ["smtp"]), ("x" * 65, ["smtp"]), ("x", []), ("x", ["web"])],
)
def test_what_none_may_be(directory: Embedded, name: str, services: list[str]) -> None:
    with pytest.raises(Invalid):
        directory.add_app_password(ANN, name, services)


def test_how_many_there_may_be(directory: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.add_app_password(ANN, "phone")
    with pytest.raises(AlreadyThere):
        directory.add_app_password(ANN, "phone")
    with pytest.raises(NotFound):
        directory.add_app_password("bob@example.org", "phone")
    monkeypatch.setattr("engine.directory.embedded.logins.MOST_APP_PASSWORDS", 1)
    with pytest.raises(Invalid, match="at most"):
        directory.add_app_password(ANN, "laptop")
