"""Mailboxes of others: what clients see of them, may do with them, and hear of them (RFC 4314)."""

import pytest
import trio

from engine.directory import Account
from engine.mailbox import Quotas
from engine.mailbox.commands import Create
from engine.mailbox.quota import Quota
from engine.mailbox.views import Usage
from tests.imap.imap_serving import Client, Post

TEAM = '"Other Users/bob@example.org/Team"'


async def bob(post: Post, rights: str) -> Client:
    """Bob, who shares a mailbox with Ann; a message is in it."""
    await post.owner.change(Create(account=2, name="Team"))
    client = await post.client("bob@example.org")
    await client.append(b"Subject: hello\r\n\r\nteam\r\n", mailbox="Team")
    await client.ok(f"SETACL Team ann@example.org {rights}")
    return client


async def test_what_is_shared_is_listed(post: Post) -> None:
    await bob(post, "lr")
    ann = await post.client()
    assert b'* LIST (\\HasNoChildren) "/" %b' % TEAM.encode() in await ann.ok('LIST "" *')
    assert await ann.ok(f"MYRIGHTS {TEAM}") == [b"* MYRIGHTS %b lr" % TEAM.encode()]
    assert await ann.ok('LIST "Other Users/" %/Team RETURN (STATUS (MESSAGES) MYRIGHTS)') == [
        b'* LIST (\\HasNoChildren) "/" %b' % TEAM.encode(),
        b"* MYRIGHTS %b lr" % TEAM.encode(),
        b"* STATUS %b (MESSAGES 1)" % TEAM.encode(),
    ]


async def test_who_has_no_rights_does_not_learn_that_it_is_there(post: Post) -> None:
    client = await bob(post, "lr")
    await client.ok("DELETEACL Team ann@example.org")
    ann = await post.client()
    assert not [line for line in await ann.ok('LIST "" *') if b"Other Users" in line]
    for command in (f"SELECT {TEAM}", f"STATUS {TEAM} (MESSAGES)", f"GETACL {TEAM}", f"DELETE {TEAM}"):
        assert (await ann.does(command))[-1].startswith(b"NO [NONEXISTENT]"), command


@pytest.mark.parametrize(
    ("command", "right"),
    [
        ("STORE 1 +FLAGS (\\Seen)", "s"),
        ("STORE 1 +FLAGS (\\Deleted)", "t"),
        ("STORE 1 +FLAGS (\\Flagged)", "w"),
        ("STORE 1 +FLAGS ($work)", "w"),
        ("MOVE 1 INBOX", "te"),
        (f"COPY 1 {TEAM}", "i"),
        (f"GETACL {TEAM}", "a"),
        (f"SETACL {TEAM} anyone l", "a"),
        (f'CREATE {TEAM[:-1]}/Sub"', "k"),
        (f"DELETE {TEAM}", "x"),
        (f'SETMETADATA {TEAM} (/shared/comment "x")', "w"),
    ],
)
async def test_each_command_needs_its_right(post: Post, command: str, right: str) -> None:
    everything = "lrswipkxtea"
    client = await bob(post, "".join(letter for letter in everything if letter not in right))
    ann = await post.client()
    await ann.ok(f"SELECT {TEAM}")
    assert (await ann.does(command))[-1].startswith(b"NO [NOPERM]")
    await client.ok(f"SETACL Team ann@example.org {everything}")
    await ann.ok("NOOP")
    assert (await ann.does(command))[-1].startswith(b"OK")


async def test_who_may_only_read_changes_nothing(post: Post) -> None:
    await bob(post, "lr")
    ann = await post.client()
    assert (await ann.does(f"SELECT {TEAM}"))[-1].startswith(b"OK [READ-ONLY]")
    assert b"* 1 FETCH (BODY[TEXT] {6}\r\nteam\r\n)" in await ann.ok("FETCH 1 BODY[TEXT]")
    assert await ann.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]


async def test_messages_go_between_accounts(post: Post) -> None:
    await bob(post, "lrste")
    ann = await post.client()
    await ann.ok(f"SELECT {TEAM}")
    await ann.ok("STORE 1 +FLAGS.SILENT (\\Seen)")
    said = await ann.ok("MOVE 1 Archive")
    assert b"[COPYUID" in said[0]
    assert said[1:] == [b"* 1 EXPUNGE"]
    await ann.ok("SELECT Archive")
    assert await ann.ok("FETCH 1 (FLAGS BODY.PEEK[TEXT])") == [b"* 1 FETCH (FLAGS (\\Seen) BODY[TEXT] {6}\r\nteam\r\n)"]


async def test_one_who_idles_hears_of_anothers_mailbox(post: Post) -> None:
    client = await bob(post, "lr")
    ann = await post.client(selects=TEAM)
    await ann.begins(b"IDLE")
    assert await ann.hears() == b"+ Idling"
    await client.append(b"Subject: news\r\n\r\nteam\r\n", mailbox="Team")
    with trio.fail_after(30):
        assert await ann.hears() == b"* 2 EXISTS"


async def test_rights_that_are_taken_away_end_the_view(post: Post) -> None:
    client = await bob(post, "lr")
    ann = await post.client(selects=TEAM)
    await client.ok("DELETEACL Team ann@example.org")
    assert await ann.ok("NOOP") == [b"* 1 EXPUNGE"]
    assert (await ann.does("FETCH 1 BODY[]"))[-1].startswith(b"BAD")


async def test_the_list_of_rights(post: Post) -> None:
    client = await bob(post, "lr")
    await client.ok("SETACL Team ann@example.org +s")
    await client.ok("SETACL Team -anyone w")
    assert await client.ok("GETACL Team") == [
        b"* ACL Team bob@example.org lrswipkxteacd -anyone w ann@example.org lrs"
    ] or await client.ok("GETACL Team") == [b"* ACL Team bob@example.org lrswipkxteacd ann@example.org lrs -anyone w"]
    assert await client.ok("LISTRIGHTS Team ann@example.org") == [
        b'* LISTRIGHTS Team ann@example.org "" l r s w i p k x t e a'
    ]
    assert await client.ok("LISTRIGHTS Team bob@example.org") == [b"* LISTRIGHTS Team bob@example.org lrswipkxtea"]
    assert (await client.does("SETACL Team bob@example.org lr"))[-1].startswith(b"NO [CANNOT]")
    assert (await client.does("SETACL Team nobody lr"))[-1].startswith(b"BAD")


async def test_comments(post: Post) -> None:
    client = await bob(post, "lr")
    await client.ok('SETMETADATA Team (/shared/comment "for all" /private/comment "for me")')
    ann = await post.client()
    assert await ann.ok(f"GETMETADATA {TEAM} (/shared/comment /private/comment)") == [
        b'* METADATA %b (/shared/comment "for all")' % TEAM.encode()
    ]
    said = await client.does("GETMETADATA (MAXSIZE 3) Team (/shared/comment)")
    assert said == [b"OK [METADATA LONGENTRIES 7] That is all"]
    assert (await client.does('SETMETADATA "" (/shared/comment "x")'))[-1].startswith(b"NO [NOPERM]")
    too_big = await client.does(b"SETMETADATA Team (/private/big {20000+}\r\n%b)" % (b"x" * 20_000))
    assert too_big[-1].startswith(b"NO [METADATA MAXSIZE 16384]")


class Limited(Quotas):
    """All accounts have the same limits."""

    async def of(self, account: Account) -> tuple[Usage, Quota]:
        await trio.lowlevel.checkpoint()
        return Usage(), Quota(octets=10 * 1024, messages=7)


async def test_a_mailbox_counts_for_its_owner(post: Post) -> None:
    await bob(post, "lr")
    ann = await post.client()
    assert await ann.ok("GETQUOTAROOT INBOX") == [b"* QUOTAROOT INBOX"]  # QUOTA () would be none (RFC 9208 6)
    assert (await ann.does("GETQUOTA ann@example.org"))[-1].startswith(b"NO [NONEXISTENT]")
    post.service.quotas = Limited()
    assert await ann.ok("GETQUOTAROOT INBOX") == [
        b"* QUOTAROOT INBOX ann@example.org", b"* QUOTA ann@example.org (STORAGE 0 10 MESSAGE 0 7)",
    ]  # fmt: skip
    assert await ann.ok(f"GETQUOTAROOT {TEAM}") == [
        b"* QUOTAROOT %b bob@example.org" % TEAM.encode(), b"* QUOTA bob@example.org (STORAGE 0 10 MESSAGE 0 7)",
    ]  # fmt: skip
    assert await ann.ok("GETQUOTA ann@example.org") == [b"* QUOTA ann@example.org (STORAGE 0 10 MESSAGE 0 7)"]
    assert (await ann.does("SETQUOTA ann@example.org (STORAGE 1)"))[-1].startswith(b"NO [NOPERM]")
