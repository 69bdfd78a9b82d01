"""The scripts of accounts in the store: one may be active, whatever happens to its name and its text."""

from pathlib import Path

import pytest

from engine.mailbox import MailboxOwner
from engine.mailbox.commands import ActivateScript, AnyCommand, DeleteScript, Problem, PutScript, RenameScript
from engine.mailbox.scripts import Script


def put(name: str, content: bytes = b"keep;", *, most: int = 3, room: int = 100) -> PutScript:
    return PutScript(account=1, name=name, content=content, most=most, room=room)


def activate(name: str) -> ActivateScript:
    return ActivateScript(account=1, name=name)


async def test_what_is_active_follows_its_script(owner: MailboxOwner) -> None:
    reader = owner.reader

    def text() -> bytes | None:
        found = reader.active_scripts([1, 2])
        return reader.active_text(1, found[1]) if found else None

    assert reader.scripts(1) == []
    assert text() is None
    for command in (put("a", b"keep;"), put("b", b"stop;"), activate("a")):
        assert (await owner.change(command)).problem is None
    assert reader.scripts(1) == [Script("a", 5, active=True), Script("b", 5, active=False)]
    assert text() == b"keep;"
    old = reader.active_scripts([1])[1]
    await owner.change(put("a", b"discard;"))
    assert text() == b"discard;"
    assert reader.active_text(1, old) is None
    await owner.change(RenameScript(account=1, name="a", to="c" * 128))
    assert text() == b"discard;"
    assert reader.scripts(1)[1] == Script("c" * 128, 8, active=True)
    await owner.change(activate(""))
    assert text() is None
    assert reader.scripts(2) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (activate("z"), Problem.NONEXISTENT),
        (DeleteScript(account=1, name="z"), Problem.NONEXISTENT),
        (DeleteScript(account=1, name="a"), Problem.ACTIVE),
        (DeleteScript(account=1, name="b"), None),
        (RenameScript(account=1, name="z", to="y"), Problem.NONEXISTENT),
        (RenameScript(account=1, name="a", to="b"), Problem.ALREADYEXISTS),
        (put("c", most=2), Problem.LIMIT),
        (put("b", most=2), None),
        (put("c", b"x" * 91), Problem.OVERQUOTA),
        (put("b", b"x" * 95), None),
        (put("b", b"x" * 96), Problem.OVERQUOTA),
    ],
)
async def test_what_cannot_be_changes_nothing(
    owner: MailboxOwner, command: AnyCommand, problem: Problem | None
) -> None:
    for first in (put("a"), put("b"), activate("a")):
        await owner.change(first)
    before = owner.reader.scripts(1)
    assert (await owner.change(command)).problem is problem
    assert (owner.reader.scripts(1) == before) is (problem is not None or command == put("b", most=2))


async def test_scripts_are_there_after_a_restart_and_go_with_the_account(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path) as owner:
        await owner.change(put("a"))
        await owner.change(activate("a"))
    with MailboxOwner(tmp_path) as owner:
        assert owner.reader.scripts(1) == [Script("a", 5, active=True)]
        await owner.erase(1)
        assert owner.reader.scripts(1) == []
        assert owner.reader.active_scripts([1]) == {}
        assert (await owner.change(put("a"))).problem is Problem.GONE
        assert owner.reader.verify() == []
