"""Who is in stays until that by which they came in is no more: all within a second, by whatever process it changed."""

import subprocess
import sys
from typing import Any

import pytest
import trio

from engine.directory import Account, Embedded
from engine.login import Guard, Logins, stays
from engine.protocols.sasl import Certificate, Credentials, Question
from tests.login.conftest import PASSWORD

ANN, BOB, PEER = "ann@example.org", "bob@example.org", "192.0.2.7"


SUSPEND = """
import sys
from pathlib import Path
from engine.directory import Embedded
Embedded.open(Path(sys.argv[1]), ["example.org"]).suspend(sys.argv[2], True)
"""


class Ins:
    """Connections by name, and why they ended."""

    def __init__(self, logins: Logins) -> None:
        self.logins = logins
        self.ended: dict[str, str] = {}

    async def come(self, name: str, question: Question, service: str = "imap") -> Any:
        visitor = self.logins.visitor(service, PEER)
        assert isinstance(await visitor.answer(question), Account)
        visitor.stay(lambda why: self.ended.__setitem__(name, why))
        return visitor

    async def after(self) -> dict[str, str]:
        """What has ended once all were looked at."""
        await self.logins.stays.look()
        return self.ended


@pytest.fixture
def ins(directory: Embedded, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> Ins:
    monkeypatch.setattr(stays, "event", lambda *_, **__: None)
    directory.add_account(BOB, PASSWORD)
    return Ins(Logins(directory, guard))


def password(login: str, given: str = PASSWORD) -> Credentials:
    return Credentials("PLAIN", login, given)


async def test_a_suspension_ends_all_that_the_account_has(ins: Ins, directory: Embedded) -> None:
    app = directory.add_app_password(ANN, "phone")
    await ins.come("by password", password(ANN))
    await ins.come("by app password", password(ANN, app), "smtp")
    await ins.come("by certificate", Certificate("EXTERNAL", ANN, (ANN,)), "smtp")
    await ins.come("somebody else", password(BOB))
    assert await ins.after() == {}
    directory.suspend(ANN, True)
    why = stays.SUSPENDED
    assert await ins.after() == {"by password": why, "by app password": why, "by certificate": why}
    assert await ins.logins.visitor("imap", PEER).answer(password(ANN)) is None
    directory.suspend(ANN, False)
    await ins.come("again", password(ANN))
    await ins.come("again by app password", password(ANN, app))
    assert "again" not in await ins.after()


async def test_a_new_password_ends_what_came_in_by_the_old_one(ins: Ins, directory: Embedded) -> None:
    app = directory.add_app_password(ANN, "phone")
    await ins.come("by password", password(ANN))
    await ins.come("by app password", password(ANN, app))
    await ins.come("by certificate", Certificate("EXTERNAL", ANN, (ANN,)))
    directory.grant(ANN, ["sales@example.org"])  # another change sends nobody away
    assert await ins.after() == {}
    directory.set_password(ANN, "another horse")
    assert await ins.after() == {"by password": stays.CHANGED}
    await ins.come("by the new one", password(ANN, "another horse"))
    directory.set_totp(ANN, b"0" * 20)  # from now on a password alone opens nothing
    assert (await ins.after())["by the new one"] == stays.CHANGED


async def test_what_is_revoked_ends_what_came_in_by_it(ins: Ins, directory: Embedded) -> None:
    phone, desk = directory.add_app_password(ANN, "phone"), directory.add_app_password(ANN, "desk")
    await ins.come("phone", password(ANN, phone))
    await ins.come("desk", password(ANN, desk))
    await ins.come("password", password(ANN))
    directory.revoke_app_password(ANN, "phone")
    directory.add_app_password(ANN, "phone")  # one of the same name is another one
    assert await ins.after() == {"phone": stays.REVOKED}
    directory.remove_account(ANN)
    directory.add_account(ANN, PASSWORD)  # and so is an account of the same address
    assert await ins.after() == {"phone": stays.REVOKED, "desk": stays.GONE, "password": stays.GONE}


async def test_a_closed_domain_ends_what_is_of_it(ins: Ins, directory: Embedded) -> None:
    directory.add_domain("second.test")
    directory.add_account("cy@second.test", PASSWORD)
    await ins.come("cy", password("cy@second.test"))
    await ins.come("ann", password(ANN))
    directory.remove_account("cy@second.test")
    directory.remove_domain("second.test")
    assert await ins.after() == {"cy": stays.GONE}


async def test_who_has_left_is_not_told(ins: Ins, directory: Embedded) -> None:
    visitor = await ins.come("left", password(ANN))
    visitor.leave()
    directory.suspend(ANN, True)
    assert await ins.after() == {}
    assert len(ins.logins.stays) == 0


async def test_who_was_let_in_at_the_last_moment_is_sent_away_at_once(ins: Ins, directory: Embedded) -> None:
    visitor = ins.logins.visitor("imap", PEER)
    assert isinstance(await visitor.answer(password(ANN)), Account)
    directory.suspend(ANN, True)
    visitor.stay(lambda why: ins.ended.__setitem__("late", why))
    assert ins.ended == {"late": stays.SUSPENDED}


async def test_a_change_by_another_process_is_seen_by_itself(
    ins: Ins, directory: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stays, "EVERY", 0.01)
    visitor, ended = await ins.come("in", password(ANN)), trio.Event()
    visitor.stay(lambda _: ended.set())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ins.logins.stays.run)
        await trio.to_thread.run_sync(subprocess.run, [sys.executable, "-c", SUSPEND, str(directory.folder), ANN])
        await ended.wait()
        nursery.cancel_scope.cancel()
