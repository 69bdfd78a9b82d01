"""What the scripts of accounts do with mail that is delivered."""

import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from office import ANN, BEN, LETTER, Office, letter

from engine import Delivered, Discard, Each, Recipient, Reject
from engine.config import Sieve
from engine.mailbox.commands import Create
from engine.message import JUNK, UNSTORED
from engine.sieve import compile_script
from engine.sorting import sorter
from engine.sorting.chain import Link
from engine.sorting.sorter import Rules
from engine.verdict import STORE_FIRST

DELIVERED = Delivered("delivered to mailbox")
DISCARDED = Discard("by a script of the recipient's")


@pytest.mark.parametrize(
    ("script", "folders"),
    [
        ("", {"INBOX": 1}),
        ("keep;", {"INBOX": 1}),
        ('require "fileinto"; fileinto "Archive";', {"Archive": 1}),
        ('require "fileinto"; fileinto "inbox";', {"INBOX": 1}),
        ('require "fileinto"; fileinto "Nowhere";', {"INBOX": 1}),
        ('require ["fileinto", "mailbox"]; fileinto :create "a/b/c";', {"a/b/c": 1}),
        ('require ["fileinto", "copy"]; fileinto :copy "Archive";', {"Archive": 1, "INBOX": 1}),
        ('require "fileinto"; fileinto "Archive"; fileinto "Junk"; keep;', {"Archive": 1, "Junk": 1, "INBOX": 1}),
        ('require ["fileinto", "special-use"]; fileinto :specialuse "\\\\Junk" "x";', {"Junk": 1}),
        ('require ["fileinto", "special-use"]; fileinto :specialuse "\\\\Flagged" "Sent";', {"Sent": 1}),
        ('require ["fileinto", "mailboxid"]; fileinto :mailboxid "F1-4" "Sent";', {"Junk": 1}),
        ('require ["fileinto", "mailboxid"]; fileinto :mailboxid "F2-4" "Sent";', {"Sent": 1}),
        ('require ["fileinto", "mailbox"]; if mailboxexists "Trash" { fileinto "Trash"; }', {"Trash": 1}),
        ('require ["fileinto", "mailbox"]; if mailboxexists "Rubbish" { fileinto "Trash"; }', {"INBOX": 1}),
        ('require ["fileinto", "special-use"]; if specialuse_exists "\\\\Sent" { fileinto "Sent"; }', {"Sent": 1}),
        ('require "fileinto"; fileinto "a//b";', {"INBOX": 1}),
        ("stop;", {"INBOX": 1}),
    ],
)
@pytest.mark.parametrize("used", [True, False])
async def test_folders(office: Office, script: str, folders: dict[str, int], used: bool) -> None:
    if used:
        await office.owner.change(Create(account=1, name="unused"))
    await office.script(script)
    assert await office.deliver() == DELIVERED
    assert office.folders() == folders


@pytest.mark.parametrize(
    ("script", "folders"),
    [
        ("", {"Junk": 1}),
        ("keep;", {"Junk": 1}),
        ('require "fileinto"; fileinto "INBOX";', {"INBOX": 1}),
        ('require "fileinto"; fileinto "Archive";', {"Archive": 1}),
        ('require "fileinto"; fileinto "Junk"; keep;', {"Junk": 1}),
        ('require "vacation"; vacation "I am away";', {"Junk": 1}),
    ],
)
async def test_what_a_scanner_takes_for_spam(office: Office, script: str, folders: dict[str, int]) -> None:
    await office.script(script)
    assert await office.deliver(letter().with_fact(JUNK, True)) == DELIVERED, "nothing is sent, either"
    assert office.folders() == folders


async def test_discarded_mail_is_nowhere_and_stays_so(office: Office) -> None:
    await office.script("discard;")
    message = letter()
    assert await office.deliver(message) == DISCARDED
    await office.script("keep;")
    assert await office.deliver(message) == DISCARDED
    assert office.folders() == {}


async def test_each_recipient_has_a_script_of_their_own(office: Office) -> None:
    await office.script("discard;", BEN)
    verdict = await office.deliver(letter(ANN, BEN, "nobody@example.org"))
    assert isinstance(verdict, Each)
    assert verdict.verdicts[ANN] == DELIVERED
    assert verdict.verdicts[BEN] == DISCARDED
    assert isinstance(verdict.verdicts["nobody@example.org"], Reject)
    assert (office.folders(ANN), office.folders(BEN)) == ({"INBOX": 1}, {})


async def test_flags(office: Office) -> None:
    await office.script(
        'require ["fileinto", "imap4flags", "copy"];\nfileinto :copy :flags ["\\\\Seen", "$Work"] "Archive";\n'
        'addflag ["\\\\Flagged", "later"];\n'
    )
    await office.deliver()
    assert office.flags("Archive") == {"\\Seen", "$Work"}
    assert office.flags() == {"\\Flagged", "later"}


async def test_header_fields_are_edited_for_this_recipient_alone(office: Office) -> None:
    await office.script(
        'require ["editheader", "fileinto", "copy"];\nfileinto :copy "Archive";\naddheader "X-Sorted" "yes";\n'
        'deleteheader "Subject";\n'
    )
    await office.deliver(letter(ANN, BEN, prepended=b"X-Seen: by us\r\n"))
    heading = b"Return-Path: <sue@example.net>\r\nDelivered-To: ann@example.org\r\n"
    assert office.read("Archive") == heading + b"X-Seen: by us\r\n" + LETTER
    edited = LETTER.replace(b"Subject: hi\r\n", b"")
    assert office.read() == heading + b"X-Sorted: yes\r\nX-Seen: by us\r\n" + edited
    assert office.read(address=BEN).endswith(b"X-Seen: by us\r\n" + LETTER)


async def test_large_mail_is_sorted_and_edited(office: Office) -> None:
    await office.script('require ["editheader", "fileinto"]; addheader "X-Sorted" "yes"; fileinto "Archive"; keep;')
    content = LETTER + b"x" * 76 + b"\r\n" * 200_000
    await office.deliver(letter(ANN, BEN, content=content))
    assert office.folders() == {"Archive": 1, "INBOX": 1}
    for found in (office.read(), office.read("Archive")):
        assert found.endswith(b"\r\nX-Sorted: yes\r\n" + content)
    assert office.read(address=BEN).endswith(content)


async def test_the_detail_of_an_address(office: Office) -> None:
    await office.script(
        'require ["envelope", "subaddress", "fileinto", "mailbox", "variables"];\n'
        'if envelope :detail :matches "to" "*" { fileinto :create "tags/${1}"; }'
    )
    for original in ("rfc822;Ann+work@example.org", "rfc822;ann+play@example.net", "rfc822;team+all@example.org", ""):
        await office.deliver(letter(Recipient(ANN, original=original)))
    assert office.folders() == {"tags/work": 1, "INBOX": 3}


async def test_scripts_include_others(office: Office, tmp_path: Path) -> None:
    (tmp_path / "lists.sieve").write_text('require "fileinto"; fileinto "Archive";')
    office.sorter.rules = Rules(Sieve(include=tmp_path))
    await office.script('require "imap4flags"; addflag "mine";', name="flags")
    await office.script('require "include"; include "flags"; include :global "lists"; include :optional "none";')
    await office.deliver()
    assert office.folders() == {"Archive": 1}
    (tmp_path / "lists.sieve").write_text("keep;")
    await office.deliver()
    assert office.folders() == {"Archive": 1, "INBOX": 1}


def rules(before: str = "", after: str = "") -> Rules:
    def links(text: str) -> tuple[Link, ...]:
        return (Link("x.sieve", compile_script(text.encode())),) if text else ()

    return Rules(before=links(before), after=links(after))


@pytest.mark.parametrize(
    ("before", "own", "after", "folders"),
    [
        ('require "fileinto"; fileinto "Junk";', 'require "fileinto"; fileinto "Archive";', "", {"Junk": 1}),
        ("keep;", 'require "fileinto"; fileinto "Archive";', "", {"Archive": 1}),
        ('require ["fileinto", "copy"]; fileinto :copy "Sent";', "discard;", "", {"Sent": 1}),
        ("", "keep;", 'require "fileinto"; fileinto "Archive";', {"Archive": 1}),
        ("", "discard;", 'require "fileinto"; fileinto "Archive";', {}),
        (
            'require "editheader"; addheader "X-A" "1";',
            'require "fileinto"; if exists "X-A" {fileinto "Junk";}',
            "",
            {"Junk": 1},
        ),
        ('require "ihave"; error "broken";', 'require "fileinto"; fileinto "Archive";', "", {"Archive": 1}),
        ('require "fileinto"; fileinto "Junk";', "", "", {"Junk": 1}),
    ],
)
async def test_scripts_of_the_operator(
    office: Office, before: str, own: str, after: str, folders: dict[str, int]
) -> None:
    office.sorter.rules = rules(before, after)
    if own:
        await office.script(own)
    await office.deliver()
    assert office.folders() == folders


async def test_facts_for_spamtest_and_virustest(office: Office) -> None:
    await office.script(
        'require ["spamtest", "spamtestplus", "virustest", "fileinto", "relational", "comparator-i;ascii-numeric"];\n'
        'if virustest :value "ge" :comparator "i;ascii-numeric" "4" { discard; }\n'
        'elsif spamtest :percent :value "ge" :comparator "i;ascii-numeric" "80" { fileinto "Junk"; }'
    )
    for facts in ({}, {"spam.percent": 79.0}, {"spam.percent": 80}, {"virus.level": 5}):
        await office.deliver(letter(**facts))
    assert office.folders() == {"INBOX": 2, "Junk": 1}


async def test_an_error_keeps_the_message_and_is_told_once(office: Office) -> None:
    await office.script('require "ihave"; error "my mistake";')
    first = await office.deliver()
    assert isinstance(first, Delivered)
    (word,) = first.sends
    assert (word.sender, word.recipients) == ("", (ANN,))
    octets = b"".join(word.chunks())
    assert b"my mistake" in octets
    assert b'The message "hi"' in octets
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in octets
    assert await office.deliver(word) == DELIVERED
    await office.script('require "ihave"; error "another";')
    again = await office.deliver()
    assert isinstance(again, Delivered)
    assert len(again.sends) == 1
    assert office.folders() == {"INBOX": 3}


async def test_who_has_used_up_his_time_gets_his_mail_unsorted(office: Office) -> None:
    await office.script("discard;")
    office.sorter._budget.spend(1, 29.9)
    assert await office.deliver() == DISCARDED
    office.sorter._budget.spend(1, 0.1)
    told = await office.deliver()
    assert isinstance(told, Delivered)
    assert b"it has computed for too long" in b"".join(told.sends[0].chunks())
    assert office.folders() == {"INBOX": 1}


async def test_duplicates_are_known_though_they_come_at_once(office: Office) -> None:
    await office.script('require "duplicate"; if duplicate { discard; }')
    verdicts = []

    async def one() -> None:
        verdicts.append(await office.deliver())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(one)
    assert sorted(verdicts, key=str) == [DELIVERED, *[DISCARDED] * 4]
    office.clock.now += 8 * 86_400
    await office.deliver()
    assert office.folders() == {"INBOX": 2}
    assert await office.owner.forget_keys() == 0
    office.clock.now += 8 * 86_400
    assert await office.owner.forget_keys() == 1


async def test_a_bug_of_ours_delivers_unsorted(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError("too deep")

    await office.script("discard;")
    with monkeypatch.context() as patch:
        patch.setattr("engine.sorting.sorter.run", broken)
        assert await office.deliver() == DELIVERED
    assert office.folders() == {"INBOX": 1}


async def test_a_script_that_takes_long_holds_up_nobody_else(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = trio.Event(), threading.Event()
    run, token = sorter.run, trio.lowlevel.current_trio_token()

    def slow(*arguments: Any) -> Any:
        token.run_sync_soon(begun.set)
        may_end.wait()
        return run(*arguments)

    monkeypatch.setattr(sorter, "run", slow)
    await office.script("discard;")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.deliver)
        await begun.wait()
        try:
            assert await office.deliver(letter(BEN)) == DELIVERED
        finally:
            may_end.set()
    assert (office.folders(ANN), office.folders(BEN)) == ({}, {"INBOX": 1})


SAYS_MORE = {
    "an answer": 'require "vacation"; vacation "I am away";',
    "a copy for another": 'redirect "sue@example.net";',
    "what it remembers": 'require "duplicate"; if duplicate { discard; }',
    "nothing at all": "discard;",
}


@pytest.mark.parametrize("script", SAYS_MORE.values(), ids=SAYS_MORE)
async def test_of_what_is_not_stored_only_a_delivery_may_come(office: Office, script: str) -> None:
    await office.script(script)
    first = letter(ANN, BEN, **{UNSTORED: True})
    assert await office.deliver(first) == STORE_FIRST
    assert office.folders() == office.folders(BEN) == {}
    await office.deliver(replace(first, envelope=replace(first.envelope, facts=MappingProxyType({}))))
    assert office.folders(BEN) == {"INBOX": 1}


async def test_what_a_script_only_sorts_need_not_be_stored(office: Office) -> None:
    await office.script('require ["fileinto", "mailbox"]; fileinto :create "Lists";')
    assert await office.deliver(letter(ANN, BEN, **{UNSTORED: True})) == DELIVERED
    assert office.folders() == {"Lists": 1}
    assert office.folders(BEN) == {"INBOX": 1}
